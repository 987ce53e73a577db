/** A schema for each run of the suite `effects`, and a topic for those that relay. */
import { KafkaPlaces } from './kafka-places.mjs';
import { PostgresPlaces } from './postgres-places.mjs';

/**
 * @typedef {import('./run-suite.mjs').Run} Run
 * @typedef {import('./types.mjs').Target} Target
 */

export class EffectsPlaces {
  #database;
  #broker;
  /** @type {Map<Target, Target>} the topic of a schema */
  #topics = new Map();

  /** @param {{ database: string, brokers: string }} addresses */
  constructor({ database, brokers }) {
    this.#database = new PostgresPlaces(database);
    this.#broker = new KafkaPlaces(brokers);
  }

  /**
   * @param {Run} run
   * @returns {Promise<Target>}
   */
  async prepare(run) {
    const schema = await this.#database.prepare(run);
    if (run.benchCase.measure !== 'relay') return schema;
    const topic = await this.#broker.prepare(run);
    const target = { ...schema, broker: topic.address, event: topic.event };
    this.#topics.set(target, topic);
    return target;
  }

  /**
   * @param {Run} run
   * @param {Target} target
   */
  async cleanUp(run, target) {
    await this.#database.cleanUp(target);
    const topic = this.#topics.get(target);
    if (topic) await this.#broker.cleanUp(run, topic);
  }

  async close() {
    await Promise.all([this.#database.close(), this.#broker.close()]);
  }

  version() {
    return this.#database.version();
  }
}

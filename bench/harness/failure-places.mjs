/** A new topic, or new queues, for each run of the suite `failures`, by the broker that its contestant is for. */
import { KafkaPlaces } from './kafka-places.mjs';
import { RabbitmqPlaces } from './rabbitmq-places.mjs';

/**
 * @typedef {import('./run-suite.mjs').Run} Run
 * @typedef {import('./types.mjs').Target} Target
 */

export class FailurePlaces {
  #kafka;
  #rabbitmq;

  /** @param {{ brokers: string, url: string }} addresses */
  constructor({ brokers, url }) {
    this.#kafka = new KafkaPlaces(brokers);
    this.#rabbitmq = new RabbitmqPlaces(url);
  }

  /**
   * @param {Run} run
   * @returns {Promise<Target>}
   */
  prepare(run) {
    return isKafka(run) ? this.#kafka.prepare(run) : this.#rabbitmq.prepare(run);
  }

  /**
   * @param {Run} run
   * @param {Target} target
   */
  cleanUp(run, target) {
    return isKafka(run) ? this.#kafka.cleanUp(run, target) : this.#rabbitmq.cleanUp(target);
  }

  async close() {
    await Promise.all([this.#kafka.close(), this.#rabbitmq.close()]);
  }

  brokerVersion() {
    return this.#rabbitmq.brokerVersion();
  }
}

/** @param {Run} run */
function isKafka({ entry }) {
  return entry.module.endsWith('kafka');
}

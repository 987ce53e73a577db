/** The topics and groups that the runs take place in. */
import { Kafka, logLevel } from 'kafkajs';
import { runJob } from './run-job.mjs';

/**
 * @typedef {import('./run-suite.mjs').Run} Run
 * @typedef {import('./types.mjs').Target} Target
 */

const PARTITIONS = 3;
const OURS = 'nestjs-events-kafka';

/**
 * Publishing and end to end have a fresh topic for each run. Consumers read topics that are written once, each time as
 * a new group: one in plain JSON, which kafkajs and Nest's client write alike, and one with the CloudEvents headers of
 * ours, because decoding those is part of our work.
 */
export class KafkaPlaces {
  #id = `bench.${Date.now().toString(36)}`;
  #kafka;
  #admin;
  /** @type {Promise<void> | undefined} */
  #connected;
  /** @type {Map<string, { target: Target, count: number }>} by what writes it */
  #filled = new Map();

  /** @param {string} address */
  constructor(address) {
    this.address = address;
    this.#kafka = new Kafka({ brokers: address.split(','), clientId: 'bench', logLevel: logLevel.NOTHING });
    this.#admin = this.#kafka.admin();
  }

  /**
   * @param {Run} run
   * @returns {Promise<Target>}
   */
  async prepare(run) {
    await (this.#connected ??= this.#admin.connect());
    const group = `${this.#id}-${run.number}`;
    if (run.benchCase.measure !== 'consume') {
      const target = await this.#newTopic(`${this.#id}-${run.number}`, group);
      if (run.benchCase.measure === 'failures') await this.#fillBacklog(run, target);
      return target;
    }
    const { target } = await this.#filledTopic(run.entry.module === OURS ? OURS : 'kafkajs', run.settings.count ?? 0);
    return { ...target, group };
  }

  /**
   * @param {Run} run
   * @param {Target} target
   */
  async cleanUp(run, { name }) {
    if (run.benchCase.measure !== 'consume') await this.#admin.deleteTopics({ topics: [name] });
  }

  async close() {
    if (!this.#connected) return;
    const topics = (await this.#admin.listTopics()).filter((topic) => topic.startsWith(this.#id));
    if (topics.length > 0) await this.#admin.deleteTopics({ topics });
    const { groups } = await this.#admin.listGroups();
    const ours = groups.map(({ groupId }) => groupId).filter((group) => group.startsWith(this.#id));
    // A group whose process was ended is not empty yet; the broker forgets it by itself.
    if (ours.length > 0) await this.#admin.deleteGroups(ours).catch(() => undefined);
    await this.#admin.disconnect();
  }

  /**
   * @param {Run} run
   * @param {Target} target
   */
  async #fillBacklog({ entry, settings }, target) {
    const { perSecond = 0, count = 0, keys = 1 } = settings;
    if (perSecond > 0) return;
    const module = entry.module === OURS ? OURS : 'kafkajs';
    await runJob({ measure: 'fill', module, options: { batch: true }, target, settings: { count, keys } });
  }

  /**
   * @param {string} module
   * @param {number} count
   */
  async #filledTopic(module, count) {
    const known = this.#filled.get(module);
    if (known && known.count >= count) return known;
    const target = await this.#newTopic(`${this.#id}-filled-${this.#filled.size}-${count}`, `${this.#id}-filling`);
    await runJob({ measure: 'fill', module, options: { batch: true }, target, settings: { count } });
    const filled = { target, count };
    this.#filled.set(module, filled);
    return filled;
  }

  /**
   * @param {string} name
   * @param {string} group
   * @returns {Promise<Target>}
   */
  async #newTopic(name, group) {
    await this.#admin.createTopics({ topics: [{ topic: name, numPartitions: PARTITIONS }], waitForLeaders: true });
    return { address: this.address, name, event: `${name}.happened`, group };
  }
}

/**
 * How many events the topic of a target holds.
 * @param {Target} target
 * @returns {Promise<number>}
 */
export async function countEvents({ broker, address, event }) {
  const brokers = (broker ?? address).split(',');
  const admin = new Kafka({ brokers, clientId: 'bench', logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  const offsets = await admin.fetchTopicOffsets(event.split('.').slice(0, 2).join('.'));
  await admin.disconnect();
  return offsets.reduce((sum, { low, high }) => sum + Number(high) - Number(low), 0);
}

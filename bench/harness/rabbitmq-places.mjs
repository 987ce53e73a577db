/** The exchanges and queues that the runs take place in: new ones for each run. */
import { connect } from 'amqplib';
import { runJob } from './run-job.mjs';

/** @typedef {import('./types.mjs').Target} Target */

export class RabbitmqPlaces {
  #id = `bench-${Date.now().toString(36)}`;
  /** @type {Set<Target>} */
  #used = new Set();

  /** @param {string} address */
  constructor(address) {
    this.address = address;
  }

  /**
   * Publishers have a queue to publish to, and consumers one that is full, declared and filled by the contestant itself.
   * @param {import('./run-suite.mjs').Run} run
   * @returns {Promise<Target>}
   */
  async prepare({ benchCase, entry, settings, number }) {
    const name = `${this.#id}-${number}`;
    /** @type {Target} */
    const target = { address: this.address, name, event: 'bench.event.happened', group: name };
    this.#used.add(target);
    if (benchCase.measure === 'end-to-end') return target;
    const { module, options = {} } = entry;
    await runJob({ measure: 'fill', module, options, target, settings: waitingIn(benchCase, settings) });
    return target;
  }

  /** @param {Target} target */
  async cleanUp(target) {
    const { name, group } = target;
    await this.#withChannel(async (channel) => {
      for (const queue of ['', '.dlq', '.retry'].map((suffix) => `${group}.handler${suffix}`))
        await channel.deleteQueue(queue);
      for (const exchange of [name, `${name}.dlx`]) await channel.deleteExchange(exchange);
    });
    this.#used.delete(target);
  }

  /** Removes what runs that failed have left. */
  async close() {
    for (const target of this.#used) await this.cleanUp(target);
  }

  /** @returns {Promise<string>} as the broker tells it on connecting */
  async brokerVersion() {
    const connection = await connect(this.address);
    await connection.close();
    return String(connection.connection.serverProperties.version);
  }

  /** @param {(channel: import('amqplib').Channel) => Promise<void>} work */
  async #withChannel(work) {
    const connection = await connect(this.address);
    try {
      await work(await connection.createChannel());
    } finally {
      await connection.close();
    }
  }
}

/**
 * How many events wait in the queue when the run begins.
 * @param {import('./run-suite.mjs').Case} benchCase
 * @param {Record<string, number>} settings
 * @returns {Record<string, number>}
 */
function waitingIn({ measure }, { count = 0, keys, perSecond = 0 }) {
  const waits = measure === 'consume' || (measure === 'failures' && perSecond === 0);
  return { count: waits ? count : 0, ...(keys === undefined ? {} : { keys }) };
}

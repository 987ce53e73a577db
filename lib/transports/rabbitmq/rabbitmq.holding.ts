import { randomUUID } from 'node:crypto';
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import { within, type Clock } from '../../core/clock.js';
import { closeChannel, whenReturned, withChannel } from './rabbitmq.channel.js';

const TAKE_TIMEOUT_MS = 2_000;
const REPLY_TIMEOUT_MS = 5_000;
const MAX_PREFETCH = 65_535;
/**
 * Up to this many are always held whole. n.b. a quorum queue puts what returns behind what has returned before, and
 * holding a part would turn the order around.
 */
const WHOLE = 1_000;

export interface HoldingOptions {
  readonly model: ChannelModel;
  readonly clock: Clock;
  readonly queue: string;
  /** How many are wanted. Default: all. */
  readonly limit?: number;
}

/**
 * Messages that are taken from a queue and not settled: when it is closed, or its channel lost, those that were not
 * removed return in their old order.
 */
export class Holding {
  readonly messages: ConsumeMessage[] = [];
  #ready = 0;
  #removed = 0;
  #lost: { readonly reason: unknown } | undefined;

  private constructor(
    private readonly channel: Channel,
    private readonly options: HoldingOptions,
  ) {
    let reason: unknown = new Error('the channel was closed');
    channel.on('error', (error) => (reason = error));
    channel.once('close', () => (this.#lost = { reason }));
  }

  /** Those that are there now. Rejects with NOT_FOUND for a queue that is not. */
  static async open(options: HoldingOptions): Promise<Holding> {
    const holding = new Holding(await options.model.createChannel(), options);
    try {
      await holding.#take();
      return holding;
    } catch (error) {
      await closeChannel(holding.channel, options.clock);
      throw error;
    }
  }

  /** Set when the channel ended before {@link close}. */
  get lost(): { readonly reason: unknown } | undefined {
    return this.#lost;
  }

  remove(message: ConsumeMessage): void {
    if (this.#lost !== undefined) return;
    this.channel.ack(message);
    this.#removed++;
  }

  /** Resolves when the broker has read what was removed so far, or the channel is lost. */
  async flush(): Promise<void> {
    if (this.#lost !== undefined || this.#removed === 0) return;
    // The broker answers in order: any reply on this channel comes after what was sent before it was read.
    const answered = this.channel.checkQueue(this.options.queue).catch((error: unknown) => {
      this.#lost ??= { reason: error };
    });
    const inTime = await within(this.options.clock, REPLY_TIMEOUT_MS, answered);
    if (!inTime) this.#lost ??= { reason: new Error('the broker does not answer') };
  }

  /** Resolves when the rest is back in the queue. */
  async close(): Promise<void> {
    const { model, clock, queue } = this.options;
    await closeChannel(this.channel, clock);
    if (this.messages.length === this.#removed) return;
    const ready = this.#ready - this.#removed;
    // A connection that is lost meanwhile has given them back.
    await withChannel(model, clock, (channel) => whenReturned(channel, { queue, ready, clock })).catch(() => undefined);
  }

  /** n.b. with `get`, each would be taken by a consumer of its own, and they would return in any order. */
  async #take(): Promise<void> {
    const { channel } = this;
    const { queue, limit = Infinity, clock } = this.options;
    this.#ready = (await channel.checkQueue(queue)).messageCount;
    const count = Math.min(this.#ready, Math.max(limit, WHOLE), MAX_PREFETCH);
    if (count === 0) return;
    await channel.prefetch(count);
    const consumerTag = randomUUID();
    const taken = new Promise<void>((resolve, reject) => {
      channel.once('close', resolve);
      const receive = (message: ConsumeMessage | null): void => {
        if (message !== null) this.messages.push(message);
        if (message === null || this.messages.length >= count) resolve();
      };
      channel.consume(queue, receive, { consumerTag }).catch(reject);
    });
    // Another process may be reading the same ones: then there are fewer.
    await within(clock, TAKE_TIMEOUT_MS, taken);
    // Others get what comes instead of those that are removed.
    if (this.#lost === undefined) await channel.cancel(consumerTag);
  }
}

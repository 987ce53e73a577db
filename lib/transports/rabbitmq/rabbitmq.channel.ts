import type { Channel, ChannelModel } from 'amqplib';
import { sleep, within, type Clock } from '../../core/clock.js';
import { backoffMs, closed, type HealingConnection } from './rabbitmq.connection.js';
import { isAlreadyClosed } from './rabbitmq.errors.js';

const CLOSE_TIMEOUT_MS = 5_000;
const RETURN_TIMEOUT_MS = 500;
/** A channel that lived this long had nothing wrong with its set-up. */
const STABLE_MS = 5_000;

export interface HealingChannelOptions<C extends Channel> {
  readonly connection: HealingConnection;
  readonly clock: Clock;
  readonly open: (model: ChannelModel) => Promise<C>;
  /** Makes a new channel useful: declares, subscribes, starts sending. */
  readonly setup: (channel: C) => Promise<void>;
  /** The channel is gone and nothing may be sent on it any more. Called once for each that was handed to `setup`. */
  readonly lost: (channel: C, error: unknown) => void;
  /** Opening or setting up failed; it is tried again. */
  readonly failed: (error: unknown) => void;
}

/** One channel that heals: a new one is opened and set up whenever the channel, or the connection below it, is lost. */
export class HealingChannel<C extends Channel> {
  readonly #closing = new AbortController();
  #channel: C | undefined;
  #loop: Promise<void> | undefined;

  constructor(private readonly options: HealingChannelOptions<C>) {}

  start(): void {
    this.#loop ??= this.#heal();
  }

  /** Heals no more: what is open stays open until {@link close}. */
  retire(): void {
    this.#closing.abort();
  }

  async close(): Promise<void> {
    this.retire();
    if (this.#channel !== undefined) await closeChannel(this.#channel, this.options.clock);
    // A broker that does not answer does not hold up the end: with the connection its channels end too.
    if (this.#loop !== undefined) await within(this.options.clock, CLOSE_TIMEOUT_MS, this.#loop);
  }

  async #heal(): Promise<void> {
    const { connection, clock } = this.options;
    const { signal } = this.#closing;
    for (let failures = 0; !signal.aborted;) {
      const model = await connection.ready(signal);
      if (model === undefined) return;
      const openedAt = clock.now();
      await this.#live(model);
      failures = clock.now() - openedAt > STABLE_MS ? 1 : failures + 1;
      // A connection that ends tells its channels first: let it say so.
      await new Promise((resolve) => setImmediate(resolve));
      // A lost connection has its own pauses; this one is for a channel that fails on a connection that works.
      if (connection.model === model) await sleep(clock, backoffMs(failures), signal);
    }
  }

  /** One channel from opening to its end. */
  async #live(model: ChannelModel): Promise<void> {
    const channel = await this.#open(model);
    if (channel === undefined) return;
    const { setup, lost, failed, clock } = this.options;
    let end = (_reason: unknown): void => undefined;
    let reason: unknown = new Error('the channel was closed');
    const ended = new Promise<void>((resolve) => {
      end = (why) => {
        end = () => undefined;
        lost(channel, why);
        resolve();
      };
      channel.on('error', (error) => (reason = error));
      channel.on('close', () => end(reason));
    });
    this.#channel = channel;
    try {
      if (this.#closing.signal.aborted) await closeChannel(channel, clock);
      else await setup(channel);
    } catch (error) {
      if (!this.#closing.signal.aborted) failed(error);
      await closeChannel(channel, clock);
      end(error);
    }
    await ended;
    this.#channel = undefined;
  }

  async #open(model: ChannelModel): Promise<C | undefined> {
    try {
      return await this.options.open(model);
    } catch (error) {
      // n.b. a connection that ended before anybody listened is noticed here
      if (isAlreadyClosed(error)) this.options.connection.drop(model, 'it was closed already');
      this.options.failed(error);
      return undefined;
    }
  }
}

/** Opens a channel for one piece of work. n.b. an error closes a channel, so what may be refused gets its own. */
export async function withChannel<T>(
  model: ChannelModel,
  clock: Clock,
  work: (channel: Channel) => Promise<T>,
): Promise<T> {
  const channel = await model.createChannel();
  channel.on('error', () => undefined);
  try {
    return await work(channel);
  } finally {
    await closeChannel(channel, clock);
  }
}

/**
 * Waits until a queue has `ready` messages again, after a channel that held some of them was closed. n.b. a quorum queue
 * takes them back to its head in their old order, but a moment later: who reads before that meets a gap.
 */
export async function whenReturned(
  channel: Channel,
  { queue, ready, clock }: { queue: string; ready: number; clock: Clock },
): Promise<void> {
  const deadline = clock.now() + RETURN_TIMEOUT_MS;
  while (clock.now() < deadline) {
    if ((await channel.checkQueue(queue)).messageCount >= ready) return;
    await sleep(clock, 5);
  }
}

/** Never rejects. What is not settled on it returns to its queue. */
export async function closeChannel(channel: Channel, clock: Clock): Promise<void> {
  await within(clock, CLOSE_TIMEOUT_MS, closed(channel));
}

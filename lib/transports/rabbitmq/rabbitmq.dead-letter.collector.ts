import type { Channel, ConsumeMessage } from 'amqplib';
import { sleep, within } from '../../core/clock.js';
import type { DeadLetter } from '../../core/dead-letter.js';
import { EventsError, messageOf } from '../../core/errors.js';
import { printable } from '../../core/logger.js';
import type { CollectDeadLetters, TransportEnvironment } from '../../core/transport.js';
import { Waiters } from '../../core/waiters.js';
import { closeChannel, HealingChannel, withChannel } from './rabbitmq.channel.js';
import { backoffMs, type HealingConnection } from './rabbitmq.connection.js';
import { brokerText, isNotFound } from './rabbitmq.errors.js';
import { deadLetterQueue, declareDeadLetterQueue } from './rabbitmq.topology.js';

/** As many are held, and handed over at once. */
const PREFETCH = 100;
/** What lands together is handed over together. */
const GATHER_MS = 50;
/** How long the end waits for what is being collected. */
const CLOSE_TIMEOUT_MS = 2_000;
const LONGEST_LOOK_MS = 60_000;
/**
 * After so long without a dead letter it subscribes anew, on a new channel. n.b. when a quorum queue is deleted and declared
 * anew at once, RabbitMQ 3.10 cancels no subscription, takes it for one of the new queue, and its channel never gets what
 * is sent to it; the counts tell nothing of this.
 */
const IDLE_MS = 60_000;

export interface QueueCollectorOptions extends Pick<CollectDeadLetters, 'collect'> {
  readonly connection: HealingConnection;
  readonly environment: TransportEnvironment;
  readonly exchange: string;
  /** The handler's queue; its dead letters are in the one beside it. */
  readonly queue: string;
  readonly read: (message: ConsumeMessage) => DeadLetter;
}

/** What belongs to one channel and ends with it. */
interface Session {
  readonly channel: Channel;
  readonly held: ConsumeMessage[];
  readonly ended: AbortController;
}

/** Empties the dead letters of one handler as they land, and comes back after everything that can happen to their queue. */
export class QueueCollector {
  readonly #name: string;
  readonly #healing: HealingChannel<Channel>;
  readonly #arrivals = new Waiters();
  #first: { readonly resolve: () => void; readonly reject: (error: unknown) => void } | undefined;
  #session: Session | undefined;
  #working: Promise<void> = Promise.resolve();
  #stopping = false;

  constructor(private readonly options: QueueCollectorOptions) {
    const { connection, environment, queue } = options;
    this.#name = deadLetterQueue(queue);
    this.#healing = new HealingChannel({
      connection,
      clock: environment.clock,
      open: (model) => model.createChannel(),
      setup: (channel) => this.#setUp(channel),
      lost: (channel) => this.#lost(channel),
      failed: (error) => this.#failed(error),
    });
  }

  /** Resolves when it consumes, or has seen that there is nothing to consume yet; throws when the broker refuses it. */
  start(): Promise<void> {
    const started = new Promise<void>((resolve, reject) => (this.#first = { resolve, reject }));
    this.#healing.start();
    return started;
  }

  /** What is being collected has a moment to end; the rest returns to the queue. */
  async close(): Promise<void> {
    this.#stopping = true;
    this.#healing.retire();
    const session = this.#session;
    this.#arrivals.wake();
    await within(this.options.environment.clock, CLOSE_TIMEOUT_MS, this.#working);
    session?.ended.abort();
    await this.#healing.close();
  }

  async #setUp(channel: Channel): Promise<void> {
    const { environment } = this.options;
    const session: Session = { channel, held: [], ended: new AbortController() };
    this.#session = session;
    if (!(await this.#found(session))) return;
    await channel.prefetch(PREFETCH);
    await channel.consume(this.#name, (message) => {
      // The broker ends a subscription when its queue is deleted or moves: with the channel closed it is healed.
      if (message === null) void closeChannel(channel, environment.clock);
      else this.#received(session, message);
    });
    this.#first?.resolve();
    this.#working = this.#work(session);
  }

  /** A queue that belongs to nothing is not declared: it would stay for ever. Then it is looked for now and again. */
  async #found({ ended, channel }: Session): Promise<boolean> {
    for (
      let pauseMs = 1_000;
      !ended.signal.aborted && !this.#stopping;
      pauseMs = Math.min(LONGEST_LOOK_MS, 2 * pauseMs)
    ) {
      if (await this.#exists(this.#name)) return true;
      if (await this.#exists(this.options.queue)) {
        await declareDeadLetterQueue(channel, this.options.exchange, this.options.queue);
        return true;
      }
      this.#first?.resolve();
      await this.#changed(pauseMs, ended.signal);
    }
    return false;
  }

  /** n.b. asking for a queue that is not there closes the channel: each question has its own */
  async #exists(queue: string): Promise<boolean> {
    const { connection, environment } = this.options;
    const { model } = connection;
    if (model === undefined) throw new Error('the connection was lost');
    try {
      await withChannel(model, environment.clock, (channel) => channel.checkQueue(queue));
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  #received({ held }: Session, message: ConsumeMessage): void {
    held.push(message);
    this.#arrivals.wake();
  }

  /** Until the channel ends. Never rejects. */
  async #work(session: Session): Promise<void> {
    const { held, channel, ended } = session;
    while (this.#goesOn(session)) {
      if (held.length === 0) {
        await this.#changed(IDLE_MS, ended.signal);
        if (held.length > 0 || !this.#goesOn(session)) continue;
        return void closeChannel(channel, this.options.environment.clock);
      }
      if (held.length < PREFETCH) await sleep(this.options.environment.clock, GATHER_MS, ended.signal);
      const messages = held.slice(0, PREFETCH);
      if (!(await this.#collect(messages, session)) || ended.signal.aborted) return;
      held.splice(0, messages.length);
      try {
        channel.ack(messages.at(-1) as ConsumeMessage, true);
      } catch {
        return; // the channel has just ended, and they come again
      }
    }
  }

  /** Tries again until they are collected; `false` when that has ended before. */
  async #collect(messages: readonly ConsumeMessage[], session: Session): Promise<boolean> {
    const { logger } = this.options.environment;
    const letters = messages.map((message) => this.options.read(message));
    for (let failures = 1; this.#goesOn(session); failures++) {
      try {
        await this.options.collect(letters);
        return true;
      } catch (error) {
        if (!this.#goesOn(session)) return false;
        const problem = printable(messageOf(error));
        logger.warn(`${this.#name}: ${letters.length} dead letter(s) cannot be collected, trying again: ${problem}`);
        await this.#pause(backoffMs(failures), session);
      }
    }
    return false;
  }

  async #pause(delayMs: number, { ended }: Session): Promise<void> {
    const { clock } = this.options.environment;
    const until = clock.now() + delayMs;
    // Arrivals wake it early: then it sleeps on.
    while (!this.#stopping && !ended.signal.aborted && clock.now() < until) {
      await this.#changed(until - clock.now(), ended.signal);
    }
  }

  /** Resolves when something has arrived or ends, at the latest after `delayMs`. */
  async #changed(delayMs: number, signal: AbortSignal): Promise<void> {
    const late = new AbortController();
    const arrived = this.#arrivals.wait(AbortSignal.any([signal, late.signal]));
    await within(this.options.environment.clock, delayMs, arrived);
    late.abort();
  }

  #goesOn({ ended }: Session): boolean {
    return !this.#stopping && !ended.signal.aborted;
  }

  #lost(channel: Channel): void {
    if (this.#session?.channel !== channel) return;
    this.#session.ended.abort();
    this.#session = undefined;
  }

  #failed(error: unknown): void {
    if (error instanceof EventsError) this.#first?.reject(error);
    if (this.#stopping) return;
    this.options.environment.logger.warn(`${this.#name}: cannot be read, trying again: ${brokerText(error)}`);
  }
}

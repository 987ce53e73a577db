import type { Report } from '../../core/activity.js';
import { sleep, type Clock } from '../../core/clock.js';
import { messageOf } from '../../core/errors.js';
import type { EventsLogger } from '../../core/logger.js';
import type { KafkaClient, ProducerClient } from './kafka.client.js';
import { closed, failureOf, unauthorized, unreachable } from './kafka.errors.js';

const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 5_000;

export interface ConnectionTools {
  readonly name: string;
  readonly brokers: readonly string[];
  readonly client: KafkaClient;
  readonly clock: Clock;
  readonly logger: EventsLogger;
  readonly report: Report;
}

/** The connection that publishes: opens it, heals it when it breaks, replaces its client when that is in doubt. */
export class KafkaConnection {
  #client: ProducerClient | undefined;
  #opening: Promise<ProducerClient> | undefined;
  #opened = false;
  #healing = false;
  #up = false;
  readonly #closing = new AbortController();

  constructor(private readonly tools: ConnectionTools) {}

  get isUp(): boolean {
    return this.#up;
  }

  /** The first connection. Throws EVENTS_TRANSPORT_UNREACHABLE after `timeoutMs`, EVENTS_TRANSPORT_UNAUTHORIZED at once. */
  async open(timeoutMs: number): Promise<void> {
    const { name, brokers, clock, logger } = this.tools;
    const giveUpAt = clock.now() + timeoutMs;
    for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
      const failure = await this.#try(Math.max(1, giveUpAt - clock.now()));
      if (failure === undefined) {
        this.#opened = true;
        return;
      }
      if (failureOf(failure) === 'unauthorized') throw unauthorized(name, brokers, failure);
      if (clock.now() + waitMs >= giveUpAt) throw unreachable(name, brokers, failure);
      // Once: whoever waits at start shall know what for.
      if (waitMs === FIRST_WAIT_MS)
        logger.warn(`${name}: no connection to ${brokers.join(', ')} yet: ${messageOf(failure)}`);
      await sleep(clock, waitMs, this.#closing.signal);
    }
  }

  /** The connected client; whoever asks meanwhile shares the wait. */
  client(): Promise<ProducerClient> {
    return (this.#opening ??= this.#connect().finally(() => (this.#opening = undefined)));
  }

  /** Gives up the client with all that is under way in it; the next one starts fresh. */
  replace(): void {
    const client = this.#client;
    this.#client = undefined;
    this.#opening = undefined;
    client?.abandon();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    const client = this.#client;
    this.#client = undefined;
    this.#up = false;
    await client?.disconnect();
  }

  /** What went wrong, if it did. A try that outlasts its time is given up. */
  async #try(timeoutMs: number): Promise<unknown> {
    const { signal } = this.#closing;
    const timer = new AbortController();
    const timeout = sleep(this.tools.clock, timeoutMs, AbortSignal.any([timer.signal, signal])).then(
      () => new Error(`no answer within ${timeoutMs} ms`),
    );
    const failure = await Promise.race([
      this.client().then(
        () => undefined,
        (error: unknown) => error,
      ),
      timeout,
    ]);
    timer.abort();
    if (failure !== undefined) this.replace();
    return failure;
  }

  async #connect(): Promise<ProducerClient> {
    if (this.#closing.signal.aborted) throw closed(this.tools.name);
    const client = (this.#client ??= this.#create());
    try {
      await client.connect();
    } catch (error) {
      if (this.#client === client) this.replace();
      this.#set(false, error);
      if (this.#opened) void this.#heal();
      throw error;
    }
    if (this.#client === client) this.#set(true);
    return client;
  }

  #create(): ProducerClient {
    const client = this.tools.client.producer(() => {
      // Brokers end idle connections: only one that cannot be had again is worth telling.
      if (this.#client === client && !this.#closing.signal.aborted) this.client().catch(() => undefined);
    });
    return client;
  }

  /** Nobody may publish for hours; the state shall be true all the same. */
  async #heal(): Promise<void> {
    if (this.#healing) return;
    this.#healing = true;
    for (let waitMs = FIRST_WAIT_MS; !this.#up; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
      await sleep(this.tools.clock, waitMs, this.#closing.signal);
      if (this.#closing.signal.aborted) break;
      await this.client().catch(() => undefined);
    }
    this.#healing = false;
  }

  #set(up: boolean, error?: unknown): void {
    if (this.#up === up || this.#closing.signal.aborted) return;
    this.#up = up;
    const { report, name } = this.tools;
    report(
      up
        ? { type: 'transport-connected', transport: name }
        : { type: 'transport-disconnected', transport: name, error },
    );
  }
}

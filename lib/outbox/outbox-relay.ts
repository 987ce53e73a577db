import type { Report } from '../core/activity.js';
import { sleep, type Clock } from '../core/clock.js';
import { messageOf } from '../core/errors.js';
import { printable, type EventsLogger } from '../core/logger.js';
import type { OutboxEntry, OutboxStore } from './outbox-store.js';

export interface OutboxRelayTools {
  readonly store: OutboxStore;
  /** Resolves once the broker has confirmed the event. */
  readonly publish: (entry: OutboxEntry) => Promise<void>;
  readonly clock: Clock;
  readonly logger: EventsLogger;
  readonly report: Report;
}

export interface OutboxRelayOptions {
  /** How long to wait before looking again when nothing called for it, in milliseconds. Default 500. */
  readonly pollMs?: number;
  /** How many events are taken at a time. Default 200. */
  readonly batchSize?: number;
}

const MAX_BACKOFF_MS = 30_000;
const MAX_DOUBLINGS = 10;

/** Publishes what is in the outbox: at once after a commit in this process, and by polling what others committed. */
export class OutboxRelay {
  readonly #pollMs: number;
  readonly #batchSize: number;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #hinted = false;
  #wake = new AbortController();

  constructor(
    private readonly tools: OutboxRelayTools,
    options: OutboxRelayOptions = {},
  ) {
    this.#pollMs = options.pollMs ?? 500;
    this.#batchSize = options.batchSize ?? 200;
  }

  start(): void {
    if (this.#running !== undefined || this.#stopping.signal.aborted) return;
    this.tools.store.onCommitted(() => this.hint());
    this.#running = this.#run();
  }

  /** There is something to publish. Cheap, and never starts a second batch beside the one under way. */
  hint(): void {
    this.#hinted = true;
    this.#wake.abort();
  }

  /** Takes nothing new; resolves when the batch under way is done. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wake.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    for (let failures = 0; !this.#stopping.signal.aborted;) {
      this.#hinted = false;
      try {
        const more = await this.#batch();
        failures = 0;
        if (!more) await this.#pause();
      } catch (error) {
        // A hint does not shorten this pause: it says that there is work, not that the database is back.
        const afterMs = Math.min(this.#pollMs * 2 ** Math.min(failures++, MAX_DOUBLINGS), MAX_BACKOFF_MS);
        this.tools.logger.error(`the outbox cannot be read, next try in ${afterMs} ms: ${printable(messageOf(error))}`);
        this.tools.report({ type: 'relay-failed', error });
        await sleep(this.tools.clock, afterMs, this.#stopping.signal);
      }
    }
  }

  /** Returns whether to go on at once. */
  async #batch(): Promise<boolean> {
    let firstFailure: { readonly event: string; readonly error: unknown } | undefined;
    const result = await this.tools.store.relay(this.#batchSize, async (entry) => {
      try {
        await this.tools.publish(entry);
      } catch (error) {
        firstFailure ??= { event: entry.envelope.name, error };
        this.tools.report({ type: 'relay-failed', event: entry.envelope.name, error });
        throw error;
      }
    });
    if (result.failed > 0) {
      const example =
        firstFailure === undefined ? '' : `, first "${firstFailure.event}": ${messageOf(firstFailure.error)}`;
      this.tools.logger.warn(
        printable(`${result.failed} events of the outbox were not published and are tried again later${example}`),
      );
    }
    return result.more;
  }

  async #pause(): Promise<void> {
    if (this.#hinted || this.#stopping.signal.aborted) return;
    this.#wake = new AbortController();
    await sleep(this.tools.clock, this.#pollMs, this.#wake.signal);
  }
}

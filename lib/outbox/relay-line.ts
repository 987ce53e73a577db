import type { Report } from '../core/activity.js';
import { sleep, within, type Clock } from '../core/clock.js';
import { doubled } from '../core/doubling.js';
import { messageOf, withoutCredentials } from '../core/errors.js';
import { printable, type EventsLogger } from '../core/logger.js';
import { Waiters } from '../core/waiters.js';
import type { OutboxEntry, OutboxStore, Relayed, RelayResult, TakenEntry } from './outbox-store.js';
import { publishBatch, type FailedAttempt } from './relay-batch.js';
import { TransportPause } from './transport-pause.js';

export interface RelayLineTools {
  readonly store: OutboxStore;
  /** Resolves once the broker has confirmed the event. */
  readonly publish: (entry: OutboxEntry) => Promise<void>;
  /** Whether an error means that the transport is away, and no event is to blame. */
  readonly isAway: (error: unknown) => boolean;
  /** How long a publish may take. */
  readonly publishTimeoutMs: number;
  readonly clock: Clock;
  readonly logger: EventsLogger;
  readonly report: Report;
}

export interface RelayLineOptions {
  readonly transport: string;
  readonly pollMs: number;
  readonly batchSize: number;
  readonly parkAfter: number;
}

/** A batch begins nothing later than the first, gives up at `publishTimeoutMs` plus the second, and loses its entries at plus the third. */
const BEGIN_WITHIN_MS = 15_000;
const GIVE_UP_MARGIN_MS = 20_000;
const LEASE_MARGIN_MS = 30_000;
/** Two batches at once: one is read and forgotten while the other is with the broker. */
const BATCHES = 2;
const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 60_000;
const MAX_STORE_BACKOFF_MS = 30_000;
const MAX_ERROR_LENGTH = 1_000;
/** How long the store may take to write down what was confirmed, once the deadline of a stop has come. */
const LAST_WORDS_MS = 2_000;

interface BatchNotes {
  readonly failed: FailedAttempt[];
  readonly parked: FailedAttempt[];
}

/** Relays the events of one transport, so that one that is away does not hold up the others. */
export class RelayLine {
  readonly #pause: TransportPause;
  readonly #stopping = new AbortController();
  readonly #abandon = new AbortController();
  readonly #busy = new Waiters();
  #running: Promise<unknown> | undefined;
  #hinted = false;
  #wake = new AbortController();

  constructor(
    private readonly tools: RelayLineTools,
    private readonly options: RelayLineOptions,
  ) {
    this.#pause = new TransportPause(options.transport, tools);
  }

  start(): void {
    if (this.#running !== undefined || this.#stopping.signal.aborted) return;
    const helpers = Array.from({ length: BATCHES - 1 }, () => this.#help());
    this.#running = Promise.all([this.#run(), ...helpers]);
  }

  /** There is something to publish. Cheap, and starts no batch beside those under way. */
  hint(): void {
    this.#hinted = true;
    this.#wake.abort();
  }

  /** Begins nothing new. What is not confirmed within the deadline stays in the outbox. */
  async stop(deadlineMs: number): Promise<void> {
    const { clock } = this.tools;
    this.#stopping.abort();
    this.#wake.abort();
    const running = this.#running ?? Promise.resolve();
    if (await within(clock, deadlineMs, running)) return;
    this.#abandon.abort();
    // A database that does not answer either: its connection is closed with the DataSource, and everything stays.
    await within(clock, LAST_WORDS_MS, running);
  }

  async #run(): Promise<void> {
    for (let failures = 0; !this.#stopping.signal.aborted;) {
      this.#hinted = false;
      try {
        const result = await this.#batch();
        failures = 0;
        await this.#rest(result);
      } catch (error) {
        // A hint does not shorten this pause: it says that there is work, not that the database is back.
        const afterMs = doubled(this.options.pollMs, failures++, MAX_STORE_BACKOFF_MS);
        this.#storeFailed(error, `next try in ${afterMs} ms`);
        await sleep(this.tools.clock, afterMs, this.#stopping.signal);
      }
    }
  }

  /** Takes batches too while there are many; sleeps otherwise, without asking the database. */
  async #help(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      await this.#busy.wait(this.#stopping.signal);
      try {
        while (!this.#stopping.signal.aborted && !this.#pause.isPaused && (await this.#batch()).more);
      } catch (error) {
        this.#storeFailed(error, 'the events of this batch are sent again');
      }
    }
  }

  async #batch(): Promise<RelayResult> {
    const { store, publishTimeoutMs } = this.tools;
    const { transport, batchSize } = this.options;
    const notes: BatchNotes = { failed: [], parked: [] };
    const result = await store.relay({
      transport,
      // After a failure of the transport one event finds out whether it is back.
      limit: this.#pause.isProbing ? 1 : batchSize,
      leaseMs: publishTimeoutMs + LEASE_MARGIN_MS,
      publish: (entries) => this.#publish(entries, notes),
    });
    this.#tell(notes);
    return result;
  }

  #publish(entries: readonly TakenEntry[], notes: BatchNotes): Promise<readonly Relayed[]> {
    const { clock, publishTimeoutMs, publish } = this.tools;
    const { transport, batchSize } = this.options;
    if (entries.length * 2 >= batchSize && !this.#pause.isProbing) this.#busy.wake();
    return publishBatch(entries, {
      clock,
      publish: (envelope) => publish({ envelope, transport }),
      enough: () => this.#stopping.signal.aborted || this.#pause.isPaused,
      abandon: this.#abandon.signal,
      beginWithinMs: BEGIN_WITHIN_MS,
      giveUpAfterMs: publishTimeoutMs + GIVE_UP_MARGIN_MS,
      confirmed: () => this.#pause.confirmed(),
      failed: (attempt) => this.#failed(attempt, notes),
      hung: (count) => this.#pause.begin(new Error(`${count} events were neither confirmed nor refused in time`)),
    });
  }

  #failed(attempt: FailedAttempt, notes: BatchNotes): Relayed {
    const { entry, envelope, error, startedAt } = attempt;
    if (this.tools.isAway(error) && !this.#pause.hasConfirmedLately(startedAt)) {
      this.#pause.begin(error, envelope?.name);
      return { type: 'left' };
    }
    const text = printable(withoutCredentials(messageOf(error)), MAX_ERROR_LENGTH);
    if (entry.failures + 1 >= this.options.parkAfter) {
      notes.parked.push(attempt);
      return { type: 'parked', error: text };
    }
    notes.failed.push(attempt);
    return { type: 'failed', error: text, retryAfterMs: doubled(FIRST_BACKOFF_MS, entry.failures, MAX_BACKOFF_MS) };
  }

  /** Once it is written down. */
  #tell({ failed, parked }: BatchNotes): void {
    const { logger, report } = this.tools;
    const { transport, parkAfter } = this.options;
    for (const { envelope, error } of failed) {
      report({ type: 'relay-failed', transport, ...(envelope && { event: envelope.name }), error });
    }
    const [first] = failed;
    if (first !== undefined) {
      logger.warn(
        printable(
          `${failed.length} events of the outbox were not published to ${transport} and are tried again later, ` +
            `first ${titleOf(first)}: ${messageOf(first.error)}`,
        ),
      );
    }
    for (const each of parked) {
      const { envelope, error } = each;
      report({ type: 'relay-parked', transport, ...(envelope && { event: envelope.name, id: envelope.id }), error });
      logger.error(
        printable(
          `${titleOf(each)} was not published to ${transport} and is parked after ${parkAfter} attempts; its key goes on ` +
            `without it. Release or discard it with Outbox. Last error: ${messageOf(error)}`,
        ),
      );
    }
  }

  async #rest({ more, nextDueInMs = Infinity }: RelayResult): Promise<void> {
    const { clock } = this.tools;
    const pausedMs = this.#pause.leftMs;
    // A hint does not shorten this either.
    if (pausedMs > 0) return sleep(clock, pausedMs, this.#stopping.signal);
    if (more || this.#hinted || this.#stopping.signal.aborted) return;
    this.#wake = new AbortController();
    await sleep(clock, Math.min(this.options.pollMs, Math.max(nextDueInMs, 1)), this.#wake.signal);
  }

  #storeFailed(error: unknown, next: string): void {
    const { transport } = this.options;
    this.tools.logger.error(`the outbox cannot be read for ${transport}, ${next}: ${printable(messageOf(error))}`);
    this.tools.report({ type: 'relay-failed', transport, error });
  }
}

function titleOf({ envelope }: FailedAttempt): string {
  return envelope === undefined ? 'an entry that is no envelope' : `"${envelope.name}" (${envelope.id})`;
}

import { sleep, type Clock } from '../../core/clock.js';
import { isEventsError } from '../../core/errors.js';
import { Fifo } from '../../core/fifo.js';
import type { OutgoingRecord } from './kafka.client.js';
import type { KafkaConnection } from './kafka.connection.js';
import { failureOf, publishTimedOut, refused, tooLarge } from './kafka.errors.js';

/** A send carries at most so many records, and so many bytes unless one record is larger. Both below the broker's defaults. */
const MAX_RECORDS = 500;
const MAX_BYTES = 900_000;
const FIRST_WAIT_MS = 50;
const LONGEST_WAIT_MS = 1_000;

export interface ProducerTools {
  readonly connection: KafkaConnection;
  readonly clock: Clock;
  readonly publishTimeoutMs: number;
  /** Makes sure of a topic. An EventsError is final for its records, anything else is tried again. */
  readonly prepare: (topic: string) => Promise<void>;
  readonly isPrepared: (topic: string) => boolean;
  /** The broker did not know the topic after all. */
  readonly forget: (topic: string) => void;
}

interface Pending {
  readonly record: OutgoingRecord;
  /** What errors call it. */
  readonly event: string;
  readonly bytes: number;
  readonly settle: (error?: Error) => void;
  settled: boolean;
}

/**
 * Gathers without a timer: what is asked for while one send is in flight is the next send. One send at a time keeps the
 * order, and costs an eighth of a send per record.
 */
export class KafkaProducer {
  readonly #waiting = new Fifo<Pending>();
  /** Resolves when nothing waits and nothing is in flight. */
  #work: Promise<void> | undefined;
  #inFlight: readonly Pending[] = [];
  #nobodyWaits = (): void => undefined;
  #lastFailure: unknown;

  constructor(private readonly tools: ProducerTools) {}

  /** Resolves when the broker has confirmed it. Rejects when it did not, or may not have, within `publishTimeoutMs`. */
  send(record: OutgoingRecord, event: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = this.tools.clock.after(this.tools.publishTimeoutMs, () => this.#expire(pending));
      const pending: Pending = {
        record,
        event,
        bytes: sizeOf(record),
        settled: false,
        settle: (error) => {
          if (pending.settled) return;
          pending.settled = true;
          cancel();
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      this.#waiting.push(pending);
      this.#work ??= this.#run();
    });
  }

  /** Resolves when everything asked for so far is confirmed or has failed. */
  async flush(): Promise<void> {
    await this.#work;
  }

  async #run(): Promise<void> {
    while (this.#waiting.size > 0) {
      // Those that a confirmation has woken publish their next event first, and it still comes along.
      await new Promise((resolve) => setImmediate(resolve));
      await this.#deliver(this.#gather());
    }
    // In the same turn as the last look: who comes later starts anew.
    this.#work = undefined;
  }

  #gather(): Pending[] {
    const batch: Pending[] = [];
    let bytes = 0;
    for (let next = this.#waiting.peek(); next !== undefined; next = this.#waiting.peek()) {
      if (batch.length > 0 && (batch.length >= MAX_RECORDS || bytes + next.bytes > MAX_BYTES)) break;
      this.#waiting.shift();
      if (next.settled) continue;
      batch.push(next);
      bytes += next.bytes;
    }
    return batch;
  }

  /** Until each of them is confirmed, refused or out of time. */
  async #deliver(batch: readonly Pending[]): Promise<void> {
    for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
      const open = batch.filter((pending) => !pending.settled);
      if (open.length === 0) return;
      try {
        if (await this.#attempt(open)) return;
      } catch (error) {
        this.#lastFailure = error;
        // Written or not? The client has rewound its sequence numbers: the broker would take what follows for duplicates.
        this.tools.connection.replace();
        if (await this.#refuse(open, error)) return;
      }
      await sleep(this.tools.clock, waitMs);
    }
  }

  /** Returns whether all is done. */
  async #attempt(batch: readonly Pending[]): Promise<boolean> {
    await this.#prepareTopics(batch);
    const open = batch.filter((pending) => !pending.settled);
    if (open.length === 0) return true;
    const expired = new Promise<'expired'>((resolve) => {
      this.#nobodyWaits = () => resolve('expired');
    });
    this.#inFlight = open;
    try {
      if ((await Promise.race([this.#send(open), expired])) !== 'expired') return true;
      this.tools.connection.replace();
      return false;
    } finally {
      this.#inFlight = [];
    }
  }

  async #send(batch: readonly Pending[]): Promise<void> {
    const client = await this.tools.connection.client();
    if (batch.every((pending) => pending.settled)) return;
    await client.send(batch.map((pending) => pending.record));
    this.#lastFailure = undefined;
    for (const pending of batch) pending.settle();
  }

  /**
   * What is refused for ever is refused to its own publisher only: halves are sent again, in order, until it stands
   * alone. What the broker had taken of the refused send comes twice then, with the same ids. Returns whether all is done.
   */
  async #refuse(batch: readonly Pending[], error: unknown): Promise<boolean> {
    const failure = failureOf(error);
    if (failure === 'topic-missing') for (const { record } of batch) this.tools.forget(record.topic);
    if (failure === 'indefinite' || failure === 'topic-missing') return false;
    const [only] = batch;
    if (failure === 'unauthorized') for (const pending of batch) pending.settle(refused(pending.event, error));
    else if (batch.length === 1 && only !== undefined)
      only.settle(failure === 'too-large' ? tooLarge(only.event, error) : refused(only.event, error));
    else {
      const half = Math.ceil(batch.length / 2);
      await this.#deliver(batch.slice(0, half));
      await this.#deliver(batch.slice(half));
    }
    return true;
  }

  async #prepareTopics(batch: readonly Pending[]): Promise<void> {
    for (const topic of new Set(batch.map(({ record }) => record.topic))) {
      if (this.tools.isPrepared(topic)) continue;
      try {
        await this.tools.prepare(topic);
      } catch (error) {
        if (!isEventsError(error)) throw error;
        for (const pending of batch) if (pending.record.topic === topic) pending.settle(error);
      }
    }
  }

  #expire(pending: Pending): void {
    pending.settle(publishTimedOut(pending.event, this.tools.publishTimeoutMs, this.#lastFailure));
    if (this.#inFlight.length > 0 && this.#inFlight.every((each) => each.settled)) this.#nobodyWaits();
  }
}

/** About what the record takes in a batch, uncompressed. */
function sizeOf({ key, value, headers }: OutgoingRecord): number {
  let size = 32 + (key?.byteLength ?? 0) + (value?.byteLength ?? 0);
  for (const name in headers) size += name.length + 8 + headerBytes(headers[name]);
  return size;
}

function headerBytes(value: OutgoingRecord['headers'][string]): number {
  if (value === undefined) return 0;
  if (typeof value === 'string' || Buffer.isBuffer(value)) return Buffer.byteLength(value);
  return (value as readonly (string | Buffer)[]).reduce((sum, each) => sum + Buffer.byteLength(each) + 8, 0);
}

import { sleep } from '../../core/clock.js';
import type { DeadLetter } from '../../core/dead-letter.js';
import { doubled } from '../../core/doubling.js';
import { messageOf } from '../../core/errors.js';
import { printable } from '../../core/logger.js';
import type { CollectDeadLetters, DeadLetterCollection, TransportEnvironment } from '../../core/transport.js';
import type { ConsumerClient, IncomingBatch, IncomingRecord, KafkaClient } from './kafka.client.js';
import { settledDeadLetters } from './kafka.dead-letters.js';
import { fromDeadLetterRecord, settledIn } from './kafka.mapper.js';
import { deadLetterTopic } from './kafka.topics.js';

const MAX_BATCH = 100;
const MAX_WAIT_MS = 500;
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 10_000;

export interface CollectionTools {
  readonly client: KafkaClient;
  readonly environment: TransportEnvironment;
  readonly request: CollectDeadLetters;
}

/**
 * Brings a group's dead letters to whoever keeps them, with a consumer group of its own, `<group>.dlq.collector`, that
 * its instances share. What it commits is what "removed" means on a log: nobody collects it again.
 */
export class KafkaCollection implements DeadLetterCollection {
  readonly #topic: string;
  readonly #closing = new AbortController();
  /** Resolves, with nothing, when closing. */
  readonly #closed: Promise<ReadonlySet<string>>;
  #working: Promise<void> = Promise.resolve();
  #failures = 0;
  /** Of those that were redriven or discarded before there was a store. */
  #settled: ReadonlySet<string> = new Set();

  constructor(private readonly tools: CollectionTools) {
    this.#topic = deadLetterTopic(tools.request.group);
    const { signal } = this.#closing;
    this.#closed = new Promise((resolve) => signal.addEventListener('abort', () => resolve(new Set()), { once: true }));
  }

  /** It joins by itself, and comes back after everything that ends its client. */
  start(): void {
    this.#working = this.#keepCollecting();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#working;
  }

  async #keepCollecting(): Promise<void> {
    const { signal } = this.#closing;
    const { clock, logger } = this.tools.environment;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        this.#settled = await Promise.race([this.#settledBefore(), this.#closed]);
        await this.#untilItEnds(() => (failures = 0));
      } catch (error) {
        const afterMs = doubled(FIRST_PAUSE_MS, failures, LONGEST_PAUSE_MS);
        logger.warn(`${this.#topic} is not collected, next try in ${afterMs} ms: ${printable(messageOf(error))}`);
        await sleep(clock, afterMs, signal);
      }
    }
  }

  /** Looked for once: with a store nothing is settled here any more. */
  async #settledBefore(): Promise<ReadonlySet<string>> {
    const { client, environment, request } = this.tools;
    const committed = await client.withAdmin((admin) => admin.committed(this.#group, [this.#topic]));
    return committed.length > 0 ? new Set() : settledDeadLetters(request.group, { client, clock: environment.clock });
  }

  /** Resolves when closing; rejects when the client has given up. */
  async #untilItEnds(joined: () => void): Promise<void> {
    const { signal } = this.#closing;
    let consumer: ConsumerClient | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        if (signal.aborted) return resolve();
        signal.addEventListener('abort', () => resolve(), { once: true });
        consumer = this.tools.client.consumer({
          group: this.#group,
          topics: [this.#topic],
          maxWaitMs: MAX_WAIT_MS,
          onJoined: joined,
          onRebalancing: () => undefined,
          onBatch: (batch) => this.#take(batch, (offset) => this.#commit(consumer, batch, offset)),
          onCrash: reject,
        });
        consumer.start().catch(reject);
      });
    } finally {
      await consumer?.stop().catch(() => undefined);
    }
  }

  async #take(batch: IncomingBatch, commit: (offset: string) => Promise<void>): Promise<void> {
    for (let start = 0; start < batch.records.length; start += MAX_BATCH) {
      if (this.#closing.signal.aborted || !batch.isRunning()) return;
      const records = batch.records.slice(start, start + MAX_BATCH);
      const letters = this.#lettersIn(records);
      if (letters.length > 0 && !(await this.#collect(letters))) return this.#pause(batch);
      const { offset } = records.at(-1) as IncomingRecord;
      batch.accepted(offset);
      await commit(offset);
    }
  }

  /** Records that are none are somebody else's. */
  #lettersIn(records: readonly IncomingRecord[]): DeadLetter[] {
    const letters: DeadLetter[] = [];
    let others = 0;
    for (const record of records) {
      const letter = fromDeadLetterRecord(record);
      if (letter !== undefined && !this.#settled.has(letter.id)) letters.push(letter);
      else if (letter === undefined && settledIn(record) === undefined) others++;
    }
    if (others > 0) {
      this.tools.environment.logger.warn(`${this.#topic}: ${others} records that are no dead letters are left out`);
    }
    return letters;
  }

  async #collect(letters: readonly DeadLetter[]): Promise<boolean> {
    try {
      await this.tools.request.collect(letters);
      this.#failures = 0;
      return true;
    } catch (error) {
      const { logger } = this.tools.environment;
      logger.warn(`${letters.length} dead letters of ${this.#topic} were not kept: ${printable(messageOf(error))}`);
      return false;
    }
  }

  /** Not by waiting in the batch: while it waits the member says nothing to its group, and would be put out. */
  #pause(batch: IncomingBatch): void {
    const { signal } = this.#closing;
    const resume = batch.pause();
    const afterMs = doubled(FIRST_PAUSE_MS, this.#failures++, LONGEST_PAUSE_MS);
    void sleep(this.tools.environment.clock, afterMs, signal).then(() => {
      if (!signal.aborted) resume();
    });
  }

  /** One that fails is made up for by the next; what is collected twice is kept once. */
  async #commit(consumer: ConsumerClient | undefined, batch: IncomingBatch, offset: string): Promise<void> {
    const { topic, partition } = batch;
    const next = String(BigInt(offset) + 1n);
    await consumer?.commit([{ topic, partition, offset: next }]).catch((error: unknown) => {
      this.tools.environment.logger.debug(`${this.#topic}: a commit failed: ${printable(messageOf(error))}`);
    });
  }

  get #group(): string {
    return `${this.#topic}.collector`;
  }
}

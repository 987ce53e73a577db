import { randomUUID } from 'node:crypto';
import { sleep } from '../core/clock.js';
import { codeOf, messageOf, withoutCredentials } from '../core/errors.js';
import { printable } from '../core/logger.js';
import type { StoreEnvironment } from '../core/store.js';
import { lockNumber } from '../typeorm/advisory-lock.js';
import type { StoreDatabase } from '../typeorm/store-database.js';
import type { ResolvedRetention } from './retention-options.js';
import { cleanupBatch, type CleanupBatch } from './typeorm-cleanup-batch.js';
import type { TypeormDays } from './typeorm-days.js';

export interface CleanupTools {
  readonly database: StoreDatabase;
  readonly days: TypeormDays;
  readonly retention: ResolvedRetention;
  readonly environment: StoreEnvironment;
}

const LOCK_NOT_AVAILABLE = '55P03';
/** After a batch the database is left alone for this many times as long as the batch took: handlers come first. */
const PAUSE_FACTOR = 2;
const MIN_PAUSE_MS = 20;
const MAX_FIRST_WAIT_MS = 10_000;
/** After an error it is tried again sooner than at the next turn. */
const RETRY_MS = 60_000;
const MAX_DROP_TRIES = 8;

/** Forgets what is older than the window: now and then, by one instance at a time, in short transactions. */
export class TypeormCleanup {
  readonly #cleaner = randomUUID();
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;

  constructor(private readonly tools: CleanupTools) {}

  start(): void {
    this.#running ??= this.#run();
  }

  /** Resolves when the batch under way is done. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { everyMs } = this.tools.retention;
    // Instances that start together do not come together.
    await this.#pause(Math.random() * Math.min(everyMs, MAX_FIRST_WAIT_MS));
    while (!this.#stopping.signal.aborted) {
      const nextMs = (await this.#clean()) ? everyMs : Math.min(everyMs, RETRY_MS);
      await this.#pause(nextMs * (0.9 + Math.random() * 0.2));
    }
  }

  /** Returns whether it went through. Never throws: the next turn comes. */
  async #clean(): Promise<boolean> {
    const { clock, logger, report } = this.tools.environment;
    const begin = clock.now();
    const cleaned = { rows: 0, days: 0 };
    try {
      await this.tools.days.add();
      await this.#deleteRows((rows) => (cleaned.rows += rows));
      await this.#dropDays(() => cleaned.days++);
      return true;
    } catch (error) {
      const reason = printable(withoutCredentials(messageOf(error)));
      logger.error(`events that were handled long ago could not be forgotten, it is tried again: ${reason}`);
      return false;
    } finally {
      const tookMs = clock.now() - begin;
      if (cleaned.rows + cleaned.days > 0) {
        report({ type: 'cleaned', ...cleaned, tookMs });
        logger.debug(
          `forgot events handled more than ${this.tools.retention.days} days ago: ` +
            `${cleaned.rows} rows and ${cleaned.days} whole days in ${tookMs} ms`,
        );
      }
    }
  }

  async #deleteRows(count: (rows: number) => void): Promise<void> {
    const { retention, environment } = this.tools;
    const { clock } = environment;
    let from: string | undefined;
    while (!this.#stopping.signal.aborted) {
      const begin = clock.now();
      const batch = await this.#batch(from);
      if (batch === undefined) return;
      count(batch.rows);
      if (batch.rows < retention.batchSize) return;
      from = batch.reached;
      await this.#pause(Math.max(MIN_PAUSE_MS, (clock.now() - begin) * PAUSE_FACTOR));
    }
  }

  #batch(from: string | undefined): Promise<CleanupBatch | undefined> {
    const { database, retention } = this.tools;
    return cleanupBatch({
      runner: database.context.separateRunner(),
      schema: database.schema,
      lock: lockNumber('cleanup', database.schemaName),
      cleaner: this.#cleaner,
      days: retention.days,
      limit: retention.batchSize,
      from,
    });
  }

  /** Dropping waits a moment only, because handlers wait with it; where long transactions are open it takes some tries. */
  async #dropDays(count: () => void): Promise<void> {
    const { days, retention } = this.tools;
    for (let tries = 0; tries < MAX_DROP_TRIES && !this.#stopping.signal.aborted;) {
      try {
        if (!(await days.dropOldest(retention.days))) return;
        count();
      } catch (error) {
        if (codeOf(error) !== LOCK_NOT_AVAILABLE) throw error;
        await this.#pause(100 * 2 ** tries++);
      }
    }
  }

  #pause(ms: number): Promise<void> {
    return sleep(this.tools.environment.clock, ms, this.#stopping.signal);
  }
}

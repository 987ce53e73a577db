import type { EntityManager } from 'typeorm';
import { sleep } from '../core/clock.js';
import { codeOf, EventsError } from '../core/errors.js';
import type { StoreEnvironment } from '../core/store.js';
import { isStorableText } from '../typeorm/postgres-text.js';
import { StoreDatabase, type TypeormStoreOptions } from '../typeorm/store-database.js';
import type { IdempotencyDefinition, IdempotencyKey, IdempotencyStore, OnceResult } from './idempotency-store.js';
import { duplicateBusy, RunningKeys } from './running-keys.js';

export interface TypeormIdempotencyOptions extends TypeormStoreOptions {
  /** How long a simultaneous second delivery of an event waits for the first, in milliseconds. Default 5,000. */
  readonly waitMs?: number;
}

const LOCK_NOT_AVAILABLE = '55P03';
/**
 * The database waits 100 ms for another process (remember_event in the schema); then this one pauses and asks again, so
 * that waiters give their connection back meanwhile.
 */
const MIN_PAUSE_MS = 100;
const MAX_PAUSE_MS = 400;
/** A row of the primary key's index holds 2,704 bytes. */
const MAX_ID_BYTES = 2_000;
const MAX_KEY_BYTES = 2_600;

/**
 * Keeps the ids of handled events in `processed_events`, in one transaction with the handler's effect in the
 * application's own PostgreSQL. Everything the handler does with that DataSource takes part.
 */
export function typeormIdempotency(options: TypeormIdempotencyOptions = {}): IdempotencyDefinition {
  return { create: (environment) => new TypeormIdempotency(options, environment) };
}

class TypeormIdempotency implements IdempotencyStore {
  readonly #database: StoreDatabase;
  readonly #running: RunningKeys;
  readonly #waitMs: number;

  constructor(
    options: TypeormIdempotencyOptions,
    private readonly environment: StoreEnvironment,
  ) {
    this.#database = new StoreDatabase(options, environment);
    this.#waitMs = options.waitMs ?? 5_000;
    this.#running = new RunningKeys(environment.clock, this.#waitMs);
  }

  async prepare(): Promise<void> {
    await this.#database.open();
  }

  close(): void {
    this.#database.close();
  }

  async once<T>(key: IdempotencyKey, effect: () => Promise<T>): Promise<OnceResult<T>> {
    assertStorable(key);
    return this.#running.once(key, () => this.#patiently(key, () => this.#attempt(key, effect)));
  }

  /** Tries again while another process handles the event, up to the limit. */
  async #patiently<T>(key: IdempotencyKey, attempt: () => Promise<OnceResult<T>>): Promise<OnceResult<T>> {
    const { clock } = this.environment;
    const deadline = clock.now() + this.#waitMs;
    for (let pauseMs = MIN_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS)) {
      try {
        return await attempt();
      } catch (error) {
        if (!(error instanceof HandledElsewhere)) throw error;
        const leftMs = deadline - clock.now();
        if (leftMs <= 0) throw duplicateBusy(key, this.#waitMs, error.cause);
        await sleep(clock, Math.min(pauseMs, leftMs));
      }
    }
  }

  #attempt<T>(key: IdempotencyKey, effect: () => Promise<T>): Promise<OnceResult<T>> {
    const { context } = this.#database;
    const run = (): Promise<OnceResult<T>> =>
      context.run(
        async (manager) => {
          if (!(await this.#isFirst(manager, key))) return { duplicate: true };
          return { duplicate: false, value: await effect() };
        },
        { owner: 'delivery' },
      );
    // One delivery is never part of another's transaction, whoever's context it was started from: they settle apart.
    return context.current()?.owner === 'delivery' ? context.outside(run) : run();
  }

  async #isFirst(manager: EntityManager, key: IdempotencyKey): Promise<boolean> {
    // Former names are written too, so that an instance that still has one sees the event as handled; sorted, so that
    // two cannot wait for each other.
    const names = [...new Set([key.consumer, ...key.aliases])].sort();
    try {
      const [row] = await manager.query<[{ written: number }]>(
        `SELECT ${this.#database.schema}.remember_event($1, $2) AS written`,
        [names, key.eventId],
      );
      return row.written === names.length;
    } catch (error) {
      throw codeOf(error) === LOCK_NOT_AVAILABLE ? new HandledElsewhere(error) : error;
    }
  }
}

/** Another transaction has written the id and is still open. */
class HandledElsewhere extends Error {
  constructor(cause: unknown) {
    super('the event is being handled by another process', { cause });
  }
}

/** An id the database cannot hold is a bad event, not an outage. */
function assertStorable({ consumer, aliases, eventId }: IdempotencyKey): void {
  const bytes = Buffer.byteLength(eventId);
  const longestName = Math.max(...[consumer, ...aliases].map((name) => Buffer.byteLength(name)));
  const problem = !isStorableText(eventId)
    ? 'contains U+0000 or is not well-formed Unicode'
    : bytes > MAX_ID_BYTES || bytes + longestName > MAX_KEY_BYTES
      ? `is too long (${bytes} bytes)`
      : undefined;
  if (problem === undefined) return;
  throw new EventsError('EVENTS_ENVELOPE_INVALID', `the event's id ${problem}, so that it cannot be remembered`, {
    handler: consumer,
    remedy: `Its publisher has to give an id of at most ${MAX_ID_BYTES} bytes; or handle it with { idempotent: false }.`,
  });
}

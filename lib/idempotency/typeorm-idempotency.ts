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
/** A wait for another process is cut into slices with pauses between: waiters give their connection back meanwhile. */
const SLICE_MS = 100;
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
  readonly #remember: string;

  constructor(
    options: TypeormIdempotencyOptions,
    private readonly environment: StoreEnvironment,
  ) {
    this.#database = new StoreDatabase(options, environment);
    this.#waitMs = options.waitMs ?? 5_000;
    this.#running = new RunningKeys(environment.clock, this.#waitMs);
    this.#remember = rememberSql(this.#database.schema);
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
    for (let pauseMs = SLICE_MS; ; pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS)) {
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
    const waitMs = Math.max(1, Math.min(SLICE_MS, this.#waitMs));
    try {
      const [row] = (await manager.query(this.#remember, [names, key.eventId, String(waitMs)])) as [
        { written: number },
      ];
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

/**
 * Writes the id and says how many rows were new, in one round trip. Only this insert's wait is bounded: the handler's own
 * statements keep the lock_timeout they had. The order is that of the data: the setting before the rows that need it, its
 * reset after they were counted.
 */
function rememberSql(schema: string): string {
  return `WITH before AS MATERIALIZED (
    SELECT current_setting('lock_timeout') AS lock_timeout
  ), bounded AS MATERIALIZED (
    SELECT set_config('lock_timeout', $3, true) FROM before
  ), written AS (
    INSERT INTO ${schema}.processed_events (consumer, event_id)
    SELECT name, $2 FROM bounded, unnest($1::text[]) AS name
    ON CONFLICT DO NOTHING
    RETURNING 1
  )
  SELECT count(*)::int AS written, set_config('lock_timeout', (SELECT lock_timeout FROM before), true) FROM written`;
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

import { codeOf } from '../core/errors.js';
import type { StoreEnvironment } from '../core/store.js';
import { ISOLATION_LEVELS, type TransactionIsolation } from '../typeorm/isolation-level.js';
import { StoreDatabase, type TypeormStoreOptions } from '../typeorm/store-database.js';
import {
  checkIdempotencyOptions,
  checkOneOf,
  DEFAULT_WAIT_MS,
  type IdempotencyOptions,
} from './idempotency-options.js';
import type {
  IdempotencyDefinition,
  IdempotencyKey,
  IdempotencyStore,
  OnceAllResult,
  OnceResult,
} from './idempotency-store.js';
import { DAY_MS, resolveRetention, type RetentionOptions } from './retention-options.js';
import { HandledElsewhere, Patience } from './patience.js';
import { RunningKeys } from './running-keys.js';
import { assertStorable } from './storable-key.js';
import { TypeormCleanup } from './typeorm-cleanup.js';
import { TypeormDays } from './typeorm-days.js';

export interface TypeormIdempotencyOptions extends TypeormStoreOptions, IdempotencyOptions {
  /** Of the transactions that handlers run in. Default: the database's, which is `READ COMMITTED` unless changed there. */
  readonly isolationLevel?: TransactionIsolation;
  /** How long a handled event is remembered; a second delivery after that has a second effect. Default 7 days; `false`: for ever. */
  readonly retention?: RetentionOptions | false;
}

const OWN_OPTIONS = ['dataSource', 'schema', 'migrate', 'isolationLevel', 'retention'] as const;
const LOCK_NOT_AVAILABLE = '55P03';
/**
 * Above READ COMMITTED, a row that another transaction has committed meanwhile is not skipped by ON CONFLICT but ends
 * the statement: in the snapshot of a new transaction it is a duplicate like any other.
 */
const SERIALIZATION_FAILURE = '40001';
/**
 * Keeps the ids of handled events in `processed_events`, in one transaction with the handler's effect in the
 * application's own PostgreSQL. Everything the handler does with that DataSource takes part.
 */
export function typeormIdempotency(options: TypeormIdempotencyOptions = {}): IdempotencyDefinition {
  checkIdempotencyOptions('typeormIdempotency()', options, OWN_OPTIONS);
  checkOneOf('typeormIdempotency(): isolationLevel', options.isolationLevel, ISOLATION_LEVELS);
  resolveRetention(options.retention);
  return {
    onMissingId: options.onMissingId,
    create: (environment) => new TypeormIdempotency(options, environment),
  };
}

class TypeormIdempotency implements IdempotencyStore {
  readonly retentionMs: number | undefined;
  readonly #database: StoreDatabase;
  readonly #running: RunningKeys;
  readonly #patience: Patience;
  readonly #days: TypeormDays;
  readonly #cleanup: TypeormCleanup | undefined;

  constructor(
    private readonly options: TypeormIdempotencyOptions,
    private readonly environment: StoreEnvironment,
  ) {
    this.#database = new StoreDatabase(options, environment, 'idempotency');
    const waitMs = options.waitMs ?? DEFAULT_WAIT_MS;
    this.#running = new RunningKeys(environment.clock, waitMs);
    this.#patience = new Patience(environment.clock, waitMs);
    const retention = resolveRetention(options.retention);
    const database = this.#database;
    const days = { byDay: retention?.byDay === true, isolationLevel: options.isolationLevel };
    this.#days = new TypeormDays(database, days, environment.logger);
    this.#cleanup = retention && new TypeormCleanup({ database, days: this.#days, retention, environment });
    this.retentionMs = retention && retention.days * DAY_MS;
  }

  async prepare(): Promise<void> {
    await this.#database.open();
    await this.#days.prepare();
  }

  get database(): unknown {
    return this.#database.dataSource;
  }

  start(): void {
    this.#cleanup?.start();
  }

  async stop(): Promise<void> {
    await this.#cleanup?.stop();
  }

  close(): void {
    this.#database.close();
  }

  async once<T>(key: IdempotencyKey, effect: () => Promise<T>): Promise<OnceResult<T>> {
    assertStorable(key);
    const names = namesOf(key);
    return this.#running.once(key, () =>
      this.#inTransaction<{ written: number }, OnceResult<T>>(
        [key],
        this.#rememberOne(names, key.eventId),
        async ([row]) =>
          row?.written === names.length ? { duplicate: false, value: await effect() } : { duplicate: true },
      ),
    );
  }

  async onceAll<T>(
    keys: readonly IdempotencyKey[],
    effect: (fresh: readonly number[]) => Promise<T>,
  ): Promise<OnceAllResult<T>> {
    for (const key of keys) assertStorable(key);
    return this.#running.onceAll(keys, (open) => {
      const asked = open.map((position) => keys[position] as IdempotencyKey);
      return this.#inTransaction<{ id: string }, OnceAllResult<T>>(asked, this.#rememberAll(asked), async (rows) => {
        const news = new Set(rows.map(({ id }) => id));
        const fresh = open.filter((position) => news.has((keys[position] as IdempotencyKey).eventId));
        return { fresh, value: fresh.length === 0 ? undefined : await effect(fresh) };
      });
    });
  }

  /** The first statement of the transaction says which events are new; `handle` runs in it, with the answer. */
  #inTransaction<Row, T>(
    keys: readonly IdempotencyKey[],
    remember: Remember,
    handle: (rows: readonly Row[]) => Promise<T>,
  ): Promise<T> {
    const { context } = this.#database;
    const { isolationLevel } = this.options;
    const opening = { ...remember, explain: (error: unknown) => this.#explain(error) };
    return this.#patience.with(keys, (answered) => {
      const work = (rows: readonly Row[]): Promise<T> => {
        answered();
        return handle(rows);
      };
      const run = (): Promise<T> => context.runAfter(opening, work, { owner: 'delivery', isolationLevel });
      // One delivery is never part of another's transaction, whoever's context it was started from: they settle apart.
      return context.current()?.owner === 'delivery' ? context.outside(run) : run();
    });
  }

  /** Answers under how many of the names the event is new. */
  #rememberOne(names: readonly string[], eventId: string): Remember {
    const { schema } = this.#database;
    return names.length === 1 && this.#days.suffix === ''
      ? { sql: `SELECT ${schema}.remember_one_event($1, $2) AS written`, parameters: [names[0], eventId] }
      : { sql: `SELECT ${schema}.remember_event${this.#days.suffix}($1, $2) AS written`, parameters: [names, eventId] };
  }

  /** Answers the ids of those that are new under all names. */
  #rememberAll(keys: readonly IdempotencyKey[]): Remember {
    const names = namesOf(keys[0] as IdempotencyKey);
    const ids = keys.map(({ eventId }) => eventId);
    return {
      sql: `SELECT ${this.#database.schema}.remember_events${this.#days.suffix}($1, $2) AS id`,
      parameters: [names, ids],
    };
  }

  #explain(error: unknown): unknown {
    const code = codeOf(error);
    if (code === LOCK_NOT_AVAILABLE) return new HandledElsewhere(error, { committed: false });
    // In a transaction asked for by other code it is theirs to begin again.
    const own = this.#database.context.current() === undefined;
    return code === SERIALIZATION_FAILURE && own ? new HandledElsewhere(error, { committed: true }) : error;
  }
}

/** The statement that writes ids and says which were new. */
interface Remember {
  readonly sql: string;
  readonly parameters: unknown[];
}

/**
 * Former names are written too, so that an instance that still has one sees the event as handled; sorted, so that two
 * cannot wait for each other.
 */
function namesOf({ consumer, aliases }: IdempotencyKey): string[] {
  return aliases.length === 0 ? [consumer] : [...new Set([consumer, ...aliases])].sort();
}

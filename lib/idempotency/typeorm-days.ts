import { EventsError } from '../core/errors.js';
import type { EventsLogger } from '../core/logger.js';
import type { TransactionIsolation } from '../typeorm/isolation-level.js';
import type { StoreDatabase } from '../typeorm/store-database.js';

export interface DaysOptions {
  /** Whether to remember by day from now on. */
  readonly byDay: boolean;
  /** Of the transactions that handlers run in. */
  readonly isolationLevel: TransactionIsolation | undefined;
}

/** Today and this many days more are there before they are needed. */
const DAYS_AHEAD = 2;

/** Remembering in partitions of a day: whether it is done here, and the days there are. */
export class TypeormDays {
  #inUse = false;

  constructor(
    private readonly database: StoreDatabase,
    private readonly options: DaysOptions,
    private readonly logger: EventsLogger,
  ) {}

  /** What the names of the schema's functions that remember events end with. */
  get suffix(): '' | '_by_day' {
    return this.#inUse ? '_by_day' : '';
  }

  /** Decides how events are remembered from now on. Throws EVENTS_OPTIONS_INVALID for an isolation level that days cannot have. */
  async prepare(): Promise<void> {
    if (this.options.byDay) await this.#begin();
    else await this.#end();
  }

  async add(): Promise<void> {
    if (!this.options.byDay) return;
    await this.database.query(`SELECT ${this.database.schema}.add_processed_events_days($1)`, [DAYS_AHEAD]);
  }

  /** Drops the oldest day if all of it is older than this; returns whether there was one. May give up with 55P03. */
  async dropOldest(keepDays: number): Promise<boolean> {
    const { schema } = this.database;
    const [row] = await this.database.query<{ day: unknown }>(`SELECT ${schema}.drop_processed_events_day($1) AS day`, [
      keepDays,
    ]);
    return row?.day != null;
  }

  async #begin(): Promise<void> {
    await this.#assertReadCommitted();
    const { schema } = this.database;
    await this.add();
    // The first day counts from here, and anew when no days were left: instances without days may still run.
    await this.database.query(
      `UPDATE ${schema}.retention SET by_day_since =
         CASE WHEN EXISTS (SELECT FROM ${schema}.processed_events_by_day) THEN coalesce(by_day_since, now()) ELSE now() END`,
    );
    this.#inUse = true;
  }

  /** Back to one table: the days that are left are looked into until they are dropped. */
  async #end(): Promise<void> {
    const { schema } = this.database;
    const [row] = await this.database.query<{ left: boolean }>(
      `SELECT EXISTS (SELECT FROM ${schema}.processed_events_by_day) AS "left"`,
    );
    this.#inUse = row?.left === true;
    if (!this.#inUse) return;
    this.logger.warn(
      `events were remembered by day in the schema ${this.database.schemaName}; from now on they are again remembered in one table, ` +
        'and the days that are left are honoured. Applications that share a schema have to agree on { retention }.',
    );
    await this.database.query(`UPDATE ${schema}.retention SET by_day_since = NULL`);
  }

  async #assertReadCommitted(): Promise<void> {
    const { isolationLevel } = this.options;
    const level = await this.database.context.run(
      async (manager) => {
        const [row] = await manager.query<[{ transaction_isolation: string }]>('SHOW transaction_isolation');
        return row.transaction_isolation;
      },
      { owner: 'caller', isolationLevel },
    );
    if (level === 'read committed') return;
    throw new EventsError(
      'EVENTS_OPTIONS_INVALID',
      `retention: { partitionBy: 'day' } cannot be had in transactions that are ${level.toUpperCase()}`,
      {
        remedy:
          "Say typeormIdempotency({ isolationLevel: 'READ COMMITTED' }): a delivery has to see what was committed while it waited for another. Or leave partitionBy out.",
      },
    );
  }
}

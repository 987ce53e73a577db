import type { DataSource, QueryRunner } from 'typeorm';
import { EventsError } from '../core/errors.js';
import type { StoreEnvironment } from '../core/store.js';
import { resolveDataSource, type DataSourceOption } from './data-source.js';
import { giveBack } from './give-back.js';
import { DEFAULT_SCHEMA, quoteSchema } from './migrations.js';
import type { StoreKind } from './privileges.js';
import { readCommitted } from './read-committed.js';
import { ensureSchema } from './schema.js';
import { TransactionContext } from './transaction-context.js';

/** What all stores in PostgreSQL take. */
export interface TypeormStoreOptions {
  /** A DataSource, or its name. Default: the application's unnamed one. */
  readonly dataSource?: DataSourceOption;
  /** The schema of this library's tables. Default `nestjs_events`. */
  readonly schema?: string;
  /** Whether to create and update the tables at start. Default: unless NODE_ENV is `production`. */
  readonly migrate?: boolean;
}

/** The application's database as a store sees it: found, migrated and hooked at {@link open}, not before. */
export class StoreDatabase {
  /** The schema's name. */
  readonly schemaName: string;
  /** The schema's name, ready for SQL. */
  readonly schema: string;
  #opened: { readonly dataSource: DataSource; readonly context: TransactionContext } | undefined;

  constructor(
    private readonly options: TypeormStoreOptions,
    private readonly environment: StoreEnvironment,
    private readonly use: StoreKind,
  ) {
    this.schemaName = options.schema ?? DEFAULT_SCHEMA;
    this.schema = quoteSchema(this.schemaName);
  }

  get isOpen(): boolean {
    return this.#opened !== undefined;
  }

  get dataSource(): DataSource {
    return this.#open().dataSource;
  }

  get context(): TransactionContext {
    return this.#open().context;
  }

  /** One statement on a connection of its own, outside any transaction that is open here. */
  query<Row>(sql: string, parameters: unknown[] = []): Promise<Row[]> {
    return this.#apart((runner) => runner.query(sql, parameters) as Promise<Row[]>);
  }

  /** A short transaction of its own, read committed, outside any that is open here. */
  transaction<T>(work: (runner: QueryRunner) => Promise<T>): Promise<T> {
    return this.#apart((runner) => readCommitted(runner, () => work(runner)));
  }

  async open(): Promise<void> {
    if (this.#opened !== undefined) return;
    const dataSource = resolveDataSource(this.environment, this.options.dataSource);
    await this.#ensureSchema(dataSource);
    this.#opened = { dataSource, context: TransactionContext.install(dataSource) };
  }

  close(): void {
    this.#opened?.context.uninstall();
    this.#opened = undefined;
  }

  async #apart<T>(work: (runner: QueryRunner) => Promise<T>): Promise<T> {
    return this.context.outside(async () => {
      const runner = this.context.separateRunner();
      try {
        return await work(runner);
      } finally {
        await giveBack(runner);
      }
    });
  }

  async #ensureSchema(dataSource: DataSource): Promise<void> {
    const { production, logger } = this.environment;
    const migrate = this.options.migrate ?? !production;
    const runner = dataSource.createQueryRunner();
    try {
      await ensureSchema(runner, { schema: this.schemaName, migrate, use: this.use, logger });
    } finally {
      await runner.release();
    }
  }

  #open(): { readonly dataSource: DataSource; readonly context: TransactionContext } {
    if (this.#opened !== undefined) return this.#opened;
    throw new EventsError('EVENTS_DATASOURCE_MISSING', 'the store is not prepared', {
      remedy: 'Publish and handle events after the application has started (app.init() or app.listen()).',
    });
  }
}

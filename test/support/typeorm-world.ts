import { Column, DataSource, Entity, PrimaryColumn, type DataSourceOptions } from 'typeorm';
import { systemClock } from '../../lib/core/clock.js';
import type { Activity } from '../../lib/core/activity.js';
import type { StoreEnvironment } from '../../lib/core/store.js';
import { assertSocketsClosed, openSockets } from './open-sockets.js';
import { RecordingLogger } from './recording-logger.js';
import { uniqueWord } from './unique.js';

/** An effect: what handlers of these tests write. */
@Entity('effects')
export class Effect {
  @PrimaryColumn('text')
  id!: string;

  @Column('text', { default: '' })
  note!: string;
}

/** DataSources on one schema of the test's own, which goes with it. */
export class TypeormWorld {
  readonly schema = uniqueWord('t').replaceAll('-', '_');
  readonly activities: Activity[] = [];
  readonly logger = new RecordingLogger();
  readonly #socketsBefore = openSockets();
  readonly #dataSources: DataSource[] = [];

  private constructor(readonly url: string) {}

  static async open(url: string): Promise<TypeormWorld> {
    const world = new TypeormWorld(url);
    const dataSource = await world.connect();
    await dataSource.query(`CREATE SCHEMA ${world.schema}`);
    await dataSource.query(`CREATE TABLE ${world.schema}.effects (id text PRIMARY KEY, note text NOT NULL DEFAULT '')`);
    return world;
  }

  /** The first DataSource. */
  get dataSource(): DataSource {
    return this.#dataSources[0] as DataSource;
  }

  /** Another DataSource, as another process would have. */
  async connect(options: { poolSize?: number; extra?: object } = {}): Promise<DataSource> {
    const settings: DataSourceOptions = {
      type: 'postgres',
      url: this.url,
      schema: this.schema,
      entities: [Effect],
      extra: { max: options.poolSize ?? 10, ...options.extra },
    };
    const dataSource = await new DataSource(settings).initialize();
    this.#dataSources.push(dataSource);
    return dataSource;
  }

  environment(overrides: Partial<StoreEnvironment> = {}): StoreEnvironment {
    return {
      clock: systemClock,
      logger: this.logger,
      report: (activity) => void this.activities.push(activity),
      production: false,
      resolve: (token) => (token === DataSource ? this.dataSource : undefined),
      ...overrides,
    };
  }

  /** Reads by a connection of its own: what is committed. */
  async rows<T = Record<string, unknown>>(sql: string, parameters: unknown[] = []): Promise<T[]> {
    const runner = this.dataSource.driver.createQueryRunner('master');
    try {
      return (await runner.query(sql, parameters)) as T[];
    } finally {
      await runner.release();
    }
  }

  async effects(): Promise<string[]> {
    const rows = await this.rows<{ id: string }>(`SELECT id FROM ${this.schema}.effects ORDER BY id`);
    return rows.map(({ id }) => id);
  }

  async count(table: string): Promise<number> {
    const [row] = await this.rows<{ count: number }>(`SELECT count(*)::int AS count FROM ${this.schema}.${table}`);
    return row?.count ?? 0;
  }

  /** Drops the schema; fails when a connection stays open, or a connection was given back inside a transaction. */
  async close(): Promise<void> {
    const idle = await this.rows<{ count: number }>(
      `SELECT count(*)::int AS count FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND query LIKE $1`,
      [`%${this.schema}%`],
    );
    await this.rows(`DROP SCHEMA ${this.schema} CASCADE`);
    await Promise.all(this.#dataSources.map((dataSource) => dataSource.destroy()));
    await assertSocketsClosed(this.#socketsBefore);
    if (idle[0]?.count !== 0) throw new Error(`${idle[0]?.count} connections were left inside a transaction`);
  }
}

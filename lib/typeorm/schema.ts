import type { DataSource, QueryRunner } from 'typeorm';
import { codeOf, EventsError } from '../core/errors.js';
import type { EventsLogger } from '../core/logger.js';
import { lockNumber } from './advisory-lock.js';
import { bookkeeping, MIGRATIONS, quoteSchema } from './migrations.js';
import type { Migration } from './migrations/migration.js';

export interface SchemaOptions {
  /** Default `nestjs_events`. */
  readonly schema: string;
  /** Whether to apply what is missing; otherwise a schema that is behind is an error. */
  readonly migrate: boolean;
  readonly logger: EventsLogger;
}

const INSUFFICIENT_PRIVILEGE = '42501';

/**
 * Brings the schema up to date, or throws EVENTS_SCHEMA_BEHIND. Processes that start at the same time take turns, by an
 * advisory lock, and all migrations of one start are one transaction.
 */
export async function ensureSchema(dataSource: DataSource, options: SchemaOptions): Promise<void> {
  if ((await missing(dataSource, options.schema)).length === 0) return;
  if (!options.migrate) throw schemaBehind(options.schema);
  try {
    await dataSource.transaction('READ COMMITTED', ({ queryRunner }) => migrate(queryRunner as QueryRunner, options));
  } catch (error) {
    throw codeOf(error) === INSUFFICIENT_PRIVILEGE ? schemaBehind(options.schema, error) : error;
  }
}

async function migrate(runner: QueryRunner, options: SchemaOptions): Promise<void> {
  const schema = quoteSchema(options.schema);
  await runner.query('SELECT pg_advisory_xact_lock($1::bigint)', [lockNumber('migrate', options.schema)]);
  // Not IF NOT EXISTS alone: that needs the right to create schemas even where there is nothing to create.
  if (!(await schemaExists(runner, options.schema))) await runner.query(`CREATE SCHEMA ${schema}`);
  await runner.query(bookkeeping(schema));
  for (const migration of await missing(runner, options.schema)) {
    for (const statement of migration.statements(schema)) await runner.query(statement);
    await runner.query(`INSERT INTO ${schema}.schema_migrations (version, name) VALUES ($1, $2)`, [
      migration.version,
      migration.name,
    ]);
    options.logger.log(`schema ${options.schema}: migration ${migration.version} (${migration.name}) applied`);
  }
}

/** A newer version's migrations are none of ours: only what this version needs can be missing. */
async function missing(database: DataSource | QueryRunner, name: string): Promise<readonly Migration[]> {
  const schema = quoteSchema(name);
  const [table] = (await database.query('SELECT to_regclass($1) IS NOT NULL AS present', [
    `${schema}.schema_migrations`,
  ])) as [{ present: boolean }];
  if (!table.present) return MIGRATIONS;
  const rows = (await database.query(`SELECT version FROM ${schema}.schema_migrations`)) as { version: number }[];
  const applied = new Set(rows.map((row) => row.version));
  return MIGRATIONS.filter((migration) => !applied.has(migration.version));
}

async function schemaExists(runner: QueryRunner, schema: string): Promise<boolean> {
  const rows = (await runner.query('SELECT 1 FROM pg_namespace WHERE nspname = $1', [schema])) as unknown[];
  return rows.length > 0;
}

function schemaBehind(schema: string, cause?: unknown): EventsError {
  return new EventsError('EVENTS_SCHEMA_BEHIND', `the database schema "${schema}" is behind this version`, {
    cause,
    remedy:
      'Run the SQL that migrationsSql() of nestjs-events/typeorm returns in your deploy step, with a user that may create tables; or let the start do it: { migrate: true }.',
  });
}

import { EventsError } from '../core/errors.js';
import { processedEventsAndOutbox } from './migrations/001-processed-events-and-outbox.js';
import type { Migration } from './migrations/migration.js';

/** The schema all tables of this library live in, away from the application's own. */
export const DEFAULT_SCHEMA = 'nestjs_events';

/** In order. */
export const MIGRATIONS: readonly Migration[] = [processedEventsAndOutbox];

/** A schema name ready for SQL. Throws EVENTS_OPTIONS_INVALID for what is not a plain lower-case identifier. */
export function quoteSchema(schema: string): string {
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(schema) || schema.startsWith('pg_')) {
    throw new EventsError('EVENTS_OPTIONS_INVALID', `schema: ${JSON.stringify(schema)} is not a schema name`, {
      remedy: 'Use lower-case letters, digits and "_", at most 63, not starting with a digit or "pg_".',
    });
  }
  return `"${schema}"`;
}

/** The table that keeps which migrations were applied. */
export function bookkeeping(schema: string): string {
  return `CREATE TABLE IF NOT EXISTS ${schema}.schema_migrations (
  version int PRIMARY KEY,
  name text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
)`;
}

/** All migrations as one SQL script, for a deploy step or a migration tool of one's own. It may run again. */
export function migrationsSql(options: { readonly schema?: string } = {}): string {
  const schema = quoteSchema(options.schema ?? DEFAULT_SCHEMA);
  const statements = MIGRATIONS.flatMap(({ version, name, statements }) => [
    ...statements(schema),
    `INSERT INTO ${schema}.schema_migrations (version, name) VALUES (${version}, '${name}') ON CONFLICT DO NOTHING`,
  ]);
  return ['BEGIN', `CREATE SCHEMA IF NOT EXISTS ${schema}`, bookkeeping(schema), ...statements, 'COMMIT']
    .map((statement) => `${statement};\n`)
    .join('\n');
}

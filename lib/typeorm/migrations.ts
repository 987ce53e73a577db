import { EventsError } from '../core/errors.js';

/** The schema all tables of this library live in, away from the application's own. */
export const DEFAULT_SCHEMA = 'nestjs_events';

export interface Migration {
  readonly version: number;
  readonly name: string;
  /** Statements for a quoted schema name. Only additions, so that a rolling deploy runs both versions. */
  readonly statements: (schema: string) => readonly string[];
}

export const MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    name: 'processed-events-and-outbox',
    statements: (schema) => [
      `CREATE TABLE IF NOT EXISTS ${schema}.processed_events (
  consumer text NOT NULL,
  event_id text NOT NULL,
  processed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (consumer, event_id)
)`,
      `CREATE INDEX IF NOT EXISTS processed_events_processed_at ON ${schema}.processed_events (processed_at)`,
      // Writes an event's id for one consumer under all its names, and says how many rows were new. A function, because its
      // own lock_timeout ends with it: only this wait for another process is bounded, not the handler's own locks.
      `CREATE OR REPLACE FUNCTION ${schema}.remember_event(consumers text[], id text) RETURNS int
LANGUAGE plpgsql SET lock_timeout = '100ms' AS $$
DECLARE written int;
BEGIN
  INSERT INTO ${schema}.processed_events (consumer, event_id)
  SELECT name, id FROM unnest(consumers) AS name
  ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS written = ROW_COUNT;
  RETURN written;
END
$$`,
      // json, not jsonb: jsonb refuses \\u0000 and changes the text.
      `CREATE TABLE IF NOT EXISTS ${schema}.outbox (
  position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  slot smallint NOT NULL,
  id text NOT NULL,
  name text NOT NULL,
  key text,
  transport text NOT NULL,
  envelope json NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  attempts int NOT NULL DEFAULT 0,
  not_before timestamptz,
  last_error text
)`,
      // What waits for its next attempt, and holds back its key: a few rows, found without reading the table.
      `CREATE INDEX IF NOT EXISTS outbox_not_before ON ${schema}.outbox (not_before) WHERE not_before IS NOT NULL`,
    ],
  },
];

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

import { EventsError } from '../core/errors.js';
import { lockNumber } from './advisory-lock.js';
import { processedEventsAndOutbox } from './migrations/001-processed-events-and-outbox.js';
import { rememberSeveralEvents } from './migrations/002-remember-several-events.js';
import { outboxLines } from './migrations/003-outbox-lines.js';
import { retention } from './migrations/004-retention.js';
import { deadLetters } from './migrations/005-dead-letters.js';
import { deliveryAttempts } from './migrations/006-delivery-attempts.js';
import type { Migration } from './migrations/migration.js';

/** The schema all tables of this library live in, away from the application's own. */
export const DEFAULT_SCHEMA = 'nestjs_events';

/** In order. */
export const MIGRATIONS: readonly Migration[] = [
  processedEventsAndOutbox,
  rememberSeveralEvents,
  outboxLines,
  retention,
  deadLetters,
  deliveryAttempts,
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

/** The number of the advisory lock that whoever migrates a schema holds. */
export function migrationLock(schema: string): string {
  return lockNumber('migrate', schema);
}

export interface MigrationsSqlOptions {
  /** Default `nestjs_events`. */
  readonly schema?: string;
  /** The version that is applied already: only what came after it. Default 0: everything. */
  readonly from?: number;
}

/**
 * All migrations, or those after a version, as one SQL script for a deploy step or a migration tool of one's own. It may
 * run again, and takes turns with processes that migrate at the same time. Throws EVENTS_OPTIONS_INVALID.
 */
export function migrationsSql(options: MigrationsSqlOptions = {}): string {
  const name = options.schema ?? DEFAULT_SCHEMA;
  const schema = quoteSchema(name);
  const from = options.from ?? 0;
  const latest = MIGRATIONS.at(-1)?.version ?? 0;
  if (!Number.isInteger(from) || from < 0 || from > latest) {
    throw new EventsError('EVENTS_OPTIONS_INVALID', `from: ${from} is no version of the schema`, {
      remedy: `Use a whole number from 0 to ${latest}.`,
    });
  }
  const applied = MIGRATIONS.filter(({ version }) => version > from).flatMap(({ version, name, statements }) => [
    `-- ${version}: ${name}\n${statements(schema).join(';\n\n')}`,
    `INSERT INTO ${schema}.schema_migrations (version, name) VALUES (${version}, '${name}') ON CONFLICT DO NOTHING`,
  ]);
  return [
    'BEGIN',
    `SELECT pg_advisory_xact_lock(${migrationLock(name)})`,
    // Not IF NOT EXISTS alone: that needs the right to create schemas even where there is nothing to create.
    `DO $$ BEGIN IF to_regnamespace('${schema}') IS NULL THEN CREATE SCHEMA ${schema}; END IF; END $$`,
    bookkeeping(schema),
    ...applied,
    'COMMIT',
  ]
    .map((statement) => `${statement};\n`)
    .join('\n');
}

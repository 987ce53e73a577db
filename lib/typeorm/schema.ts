import { codeOf, EventsError } from '../core/errors.js';
import type { EventsLogger } from '../core/logger.js';
import { bookkeeping, migrationLock, MIGRATIONS, quoteSchema } from './migrations.js';
import type { Migration } from './migrations/migration.js';
import { assertPrivileges, migrationRefused, type StoreKind } from './privileges.js';
import type { SchemaSession } from './schema-session.js';

export interface SchemaOptions {
  readonly schema: string;
  /** Whether to apply what is missing; otherwise a schema that is behind is an error. */
  readonly migrate: boolean;
  /** What the schema is used for: the rights for it are checked. */
  readonly use: StoreKind;
  readonly logger: EventsLogger;
}

export interface AppliedMigration {
  readonly version: number;
  readonly name: string;
  /** By the database's clock, ISO 8601. */
  readonly appliedAt: string;
}

export interface SchemaStatus {
  readonly exists: boolean;
  /** By version. A newer release may have applied some that this one does not know. */
  readonly applied: readonly AppliedMigration[];
  /** What this release needs and is not applied, in order. */
  readonly missing: readonly Migration[];
}

const INSUFFICIENT_PRIVILEGE = '42501';

/** Makes sure, at the start of an application, that its stores can work. Throws EVENTS_SCHEMA_BEHIND, EVENTS_PRIVILEGE_MISSING. */
export async function ensureSchema(session: SchemaSession, options: SchemaOptions): Promise<void> {
  const { schema, migrate, use, logger } = options;
  const { missing } = await schemaStatus(session, schema);
  if (missing.length > 0 && !migrate) throw schemaBehind(schema, missing);
  if (missing.length > 0) {
    try {
      await migrateSchema(session, schema, logger);
    } catch (error) {
      throw codeOf(error) === 'EVENTS_PRIVILEGE_MISSING' ? schemaBehind(schema, missing, error) : error;
    }
  }
  await assertPrivileges(session, schema, use);
}

/** What is applied and what is missing. Throws EVENTS_PRIVILEGE_MISSING where it may not be read. */
export async function schemaStatus(session: SchemaSession, schema: string): Promise<SchemaStatus> {
  const [place] = (await session.query(
    `SELECT EXISTS (SELECT FROM pg_class WHERE relnamespace = space.oid AND relname = 'schema_migrations') AS begun
     FROM pg_namespace AS space WHERE nspname = $1`,
    [schema],
  )) as ({ begun: boolean } | undefined)[];
  if (place?.begun !== true) return { exists: place !== undefined, applied: [], missing: MIGRATIONS };
  await assertPrivileges(session, schema, 'status');
  const rows = (await session.query(
    `SELECT version, name, to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS "appliedAt"
     FROM ${quoteSchema(schema)}.schema_migrations ORDER BY version`,
  )) as AppliedMigration[];
  const applied = new Set(rows.map(({ version }) => version));
  return { exists: true, applied: rows, missing: MIGRATIONS.filter(({ version }) => !applied.has(version)) };
}

/** The schemas of the database that have tables of this library. */
export async function schemasFound(session: SchemaSession): Promise<readonly string[]> {
  const rows = (await session.query(
    `SELECT nspname AS name FROM pg_namespace JOIN pg_class ON relnamespace = pg_namespace.oid
     WHERE relname IN ('schema_migrations', 'processed_events') GROUP BY nspname HAVING count(*) = 2 ORDER BY 1`,
  )) as { name: string }[];
  return rows.map(({ name }) => name);
}

/**
 * Applies what is missing and returns it: all of it in one transaction. Processes that do this at the same time take
 * turns. Throws EVENTS_PRIVILEGE_MISSING with the right that is needed.
 */
export async function migrateSchema(
  session: SchemaSession,
  schema: string,
  logger: EventsLogger,
): Promise<readonly Migration[]> {
  // Read committed, whatever the default: what another process has applied shall be seen when the turn has come.
  await session.query('BEGIN ISOLATION LEVEL READ COMMITTED');
  try {
    await takeTurn(session, schema, logger);
    const applied = await apply(session, schema);
    await session.query('COMMIT');
    for (const { version, name } of applied) logger.log(`schema ${schema}: migration ${version} (${name}) applied`);
    return applied;
  } catch (error) {
    await session.query('ROLLBACK').catch(() => undefined); // the first error is the one to tell
    throw codeOf(error) === INSUFFICIENT_PRIVILEGE ? await migrationRefused(session, schema, error) : error;
  }
}

async function takeTurn(session: SchemaSession, schema: string, logger: EventsLogger): Promise<void> {
  const lock = [migrationLock(schema)];
  const [turn] = (await session.query('SELECT pg_try_advisory_xact_lock($1::bigint) AS mine', lock)) as [
    { mine: boolean },
  ];
  if (turn.mine) return;
  logger.log(`schema ${schema}: another process is migrating it; waiting for its end`);
  await session.query('SELECT pg_advisory_xact_lock($1::bigint)', lock);
}

async function apply(session: SchemaSession, name: string): Promise<readonly Migration[]> {
  const schema = quoteSchema(name);
  const spaces = (await session.query('SELECT FROM pg_namespace WHERE nspname = $1', [name])) as unknown[];
  // Not IF NOT EXISTS alone: that needs the right to create schemas even where there is nothing to create.
  if (spaces.length === 0) await session.query(`CREATE SCHEMA ${schema}`);
  await session.query(bookkeeping(schema));
  const { missing } = await schemaStatus(session, name);
  for (const { version, name: title, statements } of missing) {
    for (const statement of statements(schema)) await session.query(statement);
    await session.query(`INSERT INTO ${schema}.schema_migrations (version, name) VALUES ($1, $2)`, [version, title]);
  }
  return missing;
}

function schemaBehind(schema: string, missing: readonly Migration[], cause?: unknown): EventsError {
  const names = missing.map(({ version, name }) => `${version} (${name})`).join(', ');
  return new EventsError(
    'EVENTS_SCHEMA_BEHIND',
    `the database schema "${schema}" is behind this version: migrations ${names} are missing`,
    {
      cause,
      remedy:
        `In your deploy step, as a user that may create tables, run "npx nestjs-events db migrate --schema ${schema}" (DATABASE_URL says where), ` +
        'or the SQL that "nestjs-events db sql" prints and migrationsSql() of nestjs-events/typeorm returns; or let the start do it: { migrate: true }.',
    },
  );
}

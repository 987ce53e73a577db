import { EventsError } from '../core/errors.js';
import { quoteSchema } from './migrations.js';
import type { SchemaSession } from './schema-session.js';

/** What a schema is used for; `status` is what every use needs. */
export type StoreKind = 'idempotency' | 'outbox' | 'dead-letters' | 'attempts' | 'status';

interface Privilege {
  readonly on: 'TABLE' | 'FUNCTION';
  readonly name: string;
  readonly rights: readonly string[];
}

const STATUS: readonly Privilege[] = [{ on: 'TABLE', name: 'schema_migrations', rights: ['SELECT'] }];

/** What an application's user needs besides USAGE of the schema. docs/guide.md has the same as SQL. */
const PRIVILEGES: Readonly<Record<StoreKind, readonly Privilege[]>> = {
  status: STATUS,
  idempotency: [
    ...STATUS,
    { on: 'TABLE', name: 'processed_events', rights: ['SELECT', 'INSERT', 'DELETE'] },
    { on: 'TABLE', name: 'processed_events_by_day', rights: ['SELECT', 'INSERT'] },
    { on: 'TABLE', name: 'retention', rights: ['SELECT', 'UPDATE'] },
    ...[
      'remember_one_event',
      'remember_event',
      'remember_events',
      'remember_event_by_day',
      'remember_events_by_day',
      'remember_events_at',
      'add_processed_events_days',
      'drop_processed_events_day',
    ].map((name): Privilege => ({ on: 'FUNCTION', name, rights: ['EXECUTE'] })),
  ],
  outbox: [...STATUS, { on: 'TABLE', name: 'outbox', rights: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] }],
  'dead-letters': [
    ...STATUS,
    { on: 'TABLE', name: 'dead_letters', rights: ['SELECT', 'INSERT', 'UPDATE'] },
    { on: 'TABLE', name: 'redrives', rights: ['SELECT', 'INSERT', 'UPDATE'] },
    { on: 'TABLE', name: 'dead_letter_actions', rights: ['SELECT', 'INSERT'] },
    { on: 'TABLE', name: 'parked_keys', rights: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] },
  ],
  attempts: [
    ...STATUS,
    { on: 'TABLE', name: 'processes', rights: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] },
    { on: 'TABLE', name: 'delivery_attempts', rights: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] },
  ],
};

interface Lack {
  readonly who: string;
  readonly on: string;
  readonly name: string;
  readonly right: string;
}

/** Throws EVENTS_PRIVILEGE_MISSING with the GRANT statements that are missing, before the first event meets them. */
export async function assertPrivileges(session: SchemaSession, schema: string, use: StoreKind): Promise<void> {
  const needs = PRIVILEGES[use].flatMap(({ on, name, rights }) => rights.map((right) => ({ on, name, right })));
  const lacks = (await session.query(
    `WITH space AS (SELECT oid FROM pg_namespace WHERE nspname = $1)
     SELECT quote_ident(current_user) AS who, 'SCHEMA' AS "on", '' AS name, 'USAGE' AS "right"
     FROM space WHERE NOT has_schema_privilege(oid, 'USAGE')
     UNION ALL
     SELECT quote_ident(current_user), need.kind, need.name, need.privilege
     FROM space, unnest($2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS need (kind, name, privilege, place)
     WHERE CASE kind
       WHEN 'TABLE' THEN EXISTS (
         SELECT FROM pg_class AS t
         WHERE relnamespace = space.oid AND relname = need.name AND NOT has_table_privilege(t.oid, need.privilege))
       ELSE EXISTS (
         SELECT FROM pg_proc AS f
         WHERE pronamespace = space.oid AND proname = need.name AND NOT has_function_privilege(f.oid, need.privilege))
       END`,
    [schema, needs.map(({ on }) => on), needs.map(({ name }) => name), needs.map(({ right }) => right)],
  )) as Lack[];
  const [first] = lacks;
  if (first === undefined) return;
  throw new EventsError(
    'EVENTS_PRIVILEGE_MISSING',
    `the database user ${first.who} lacks ${lacks.length} right(s) in the schema "${schema}"`,
    { remedy: `Its owner has to run: ${grants(schema, lacks).join(' ')}` },
  );
}

/** One statement for each object. */
function grants(schema: string, lacks: readonly Lack[]): string[] {
  const rights = new Map<string, string[]>();
  for (const { on, name, right, who } of lacks) {
    const object = on === 'SCHEMA' ? quoteSchema(schema) : `${quoteSchema(schema)}.${name}`;
    const place = `ON ${on} ${object} TO ${who};`;
    rights.set(place, [...(rights.get(place) ?? []), right]);
  }
  return [...rights].map(([place, missing]) => `GRANT ${missing.join(', ')} ${place}`);
}

/** The migrating user was refused: which right it needs. */
export async function migrationRefused(session: SchemaSession, schema: string, cause: unknown): Promise<EventsError> {
  const [facts] = (await session.query(
    `SELECT quote_ident(current_user) AS who, quote_ident(current_database()) AS database,
       (SELECT quote_ident(pg_get_userbyid(nspowner)) FROM pg_namespace WHERE nspname = $1) AS owner`,
    [schema],
  )) as [{ who: string; database: string; owner: string | null }];
  const { who, database, owner } = facts;
  return new EventsError(
    'EVENTS_PRIVILEGE_MISSING',
    `the database user ${who} may not migrate the schema "${schema}"`,
    {
      cause,
      remedy:
        owner === null
          ? `Let it create the schema: GRANT CREATE ON DATABASE ${database} TO ${who}; or create it: CREATE SCHEMA ${quoteSchema(schema)} AUTHORIZATION ${who};`
          : `Migrate as the owner of the schema, ${owner}, or as a member of that role: GRANT ${owner} TO ${who};`,
    },
  );
}

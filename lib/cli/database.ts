import type { Client } from 'pg';
import { codeOf, EventsError, messageOf, withoutCredentials } from '../core/errors.js';
import type { SchemaSession } from '../typeorm/schema-session.js';

const CONNECT_TIMEOUT_MS = 10_000;

const REMEDIES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'Check that the server runs, and its host and port.',
  ENOTFOUND: 'Check the name of the host.',
  '28P01': 'Check the user and the password.',
  '28000': 'Check the user, and what pg_hba.conf allows it.',
  '3D000': 'Check the name of the database, or create it.',
};

/** Runs `work` on one connection, which is closed then. Throws EVENTS_OPTIONS_INVALID, EVENTS_DATASOURCE_MISSING, EVENTS_PACKAGE_MISSING. */
export async function withDatabase<T>(
  url: string | undefined,
  work: (session: SchemaSession) => Promise<T>,
): Promise<T> {
  const client = await createClient(databaseUrl(url));
  // A connection that breaks fails the query that runs; pg tells it here as well.
  client.on('error', () => undefined);
  try {
    await client.connect();
  } catch (cause) {
    await client.end().catch(() => undefined);
    throw unreachable(client, cause);
  }
  try {
    return await work({ query: async (sql, parameters) => (await client.query(sql, parameters)).rows as unknown[] });
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function createClient(connectionString: string): Promise<Client> {
  try {
    const { default: pg } = await import('pg');
    return new pg.Client({
      connectionString,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      application_name: 'nestjs-events',
    });
  } catch (cause) {
    if (codeOf(cause) !== 'ERR_MODULE_NOT_FOUND') throw cause;
    throw new EventsError('EVENTS_PACKAGE_MISSING', 'the package "pg" is not installed', {
      cause,
      remedy: 'Run "npm install pg": this command talks to PostgreSQL with it.',
    });
  }
}

/** n.b. a url that cannot be read is not shown: where its password begins and ends is not known */
function databaseUrl(url: string | undefined): string {
  const readable = url !== undefined && URL.canParse(url) && /^postgres(ql)?:$/.test(new URL(url).protocol);
  if (readable) return url;
  const problem = url === undefined || url === '' ? 'no database is named' : 'the url of the database cannot be read';
  throw new EventsError('EVENTS_OPTIONS_INVALID', problem, {
    remedy: 'Set DATABASE_URL, or give --url: postgres://user:password@host:5432/database.',
  });
}

function unreachable({ host, port, database, user }: Client, cause: unknown): EventsError {
  const error = cause instanceof AggregateError ? (cause.errors[0] as unknown) : cause;
  const reason = withoutCredentials(messageOf(error));
  return new EventsError(
    'EVENTS_DATASOURCE_MISSING',
    `cannot connect to the database "${database ?? ''}" at ${host}:${port} as "${user ?? ''}": ${reason}`,
    { cause, remedy: REMEDIES[codeOf(error)] ?? 'Check the url, the network and the server.' },
  );
}

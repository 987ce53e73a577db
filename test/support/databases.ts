import { randomUUID } from 'node:crypto';
import pg from 'pg';

/** A database of a test's own, on the server that the tests were given. */
export interface TestDatabase {
  readonly url: string;
  query<T extends pg.QueryResultRow>(sql: string): Promise<T[]>;
  drop(): Promise<void>;
}

export async function createDatabase(server: string, purpose: string): Promise<TestDatabase> {
  const name = `${purpose}_${randomUUID().slice(0, 8)}`;
  const url = new URL(server);
  url.pathname = `/${name}`;
  await query(server, `CREATE DATABASE ${name}`);
  return {
    url: url.href,
    query: (sql) => query(url.href, sql),
    drop: async () => void (await query(server, `DROP DATABASE ${name} WITH (FORCE)`)),
  };
}

async function query<T extends pg.QueryResultRow>(url: string, sql: string): Promise<T[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<T>(sql)).rows;
  } finally {
    await client.end();
  }
}

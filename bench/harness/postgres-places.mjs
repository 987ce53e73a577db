/** The schemas that the runs take place in: a new one for each run, with the tables of ours and one for effects. */
import pg from 'pg';
import { runJob } from './run-job.mjs';

/**
 * @typedef {import('./run-suite.mjs').Run} Run
 * @typedef {import('./types.mjs').Target} Target
 */

const OURS = 'nestjs-events-effects';

export class PostgresPlaces {
  #id = `bench_${Date.now().toString(36)}`;

  /** @param {string} address */
  constructor(address) {
    this.address = address;
  }

  /**
   * All contestants write to the tables that ours makes: the tables are not what is measured. With the setting `oldRows`
   * there are as many that wait to be cleaned.
   * @param {Run} run
   * @returns {Promise<Target>}
   */
  async prepare({ number, settings }) {
    const name = `${this.#id}_${number}`;
    const target = { address: this.address, name, event: 'bench.event.happened', group: 'bench' };
    await withClient(this.address, async (client) => {
      await client.query(`CREATE SCHEMA ${name}`);
      await client.query(
        `CREATE TABLE ${name}.effects (id bigint PRIMARY KEY, account int NOT NULL, note text NOT NULL)`,
      );
    });
    await runJob({ measure: 'fill', module: OURS, options: {}, target, settings: { count: 0 } });
    if (settings.oldRows) await fillWithOld(target, settings.oldRows);
    return target;
  }

  /** @param {Target} target */
  async cleanUp({ name }) {
    await withClient(this.address, (client) => client.query(`DROP SCHEMA ${name} CASCADE`));
  }

  /** Removes what runs that were interrupted have left. */
  async close() {
    await withClient(this.address, async (client) => {
      const { rows } = await client.query('SELECT nspname AS name FROM pg_namespace WHERE starts_with(nspname, $1)', [
        this.#id,
      ]);
      for (const { name } of rows) await client.query(`DROP SCHEMA ${name} CASCADE`);
    });
  }

  /** @returns {Promise<string>} */
  version() {
    return withClient(this.address, async (client) => {
      const { rows } = await client.query('SHOW server_version');
      return rows[0].server_version;
    });
  }
}

/**
 * Of some weeks, the last of it more than a week ago, in the order in which they would have come.
 * @param {Target} target
 * @param {number} count
 */
async function fillWithOld({ address, name }, count) {
  await withClient(address, async (client) => {
    await client.query(
      `INSERT INTO ${name}.processed_events (consumer, event_id, processed_at)
       SELECT 'bench.handler', 'old-' || lpad(n::text, 12, '0'), now() - interval '8 days' - ($1 - n) * interval '0.5 s'
       FROM generate_series(1, $1::int) AS n`,
      [count],
    );
    await client.query(`VACUUM ANALYZE ${name}.processed_events`);
  });
}

/**
 * @param {Target} target
 * @param {string} table
 * @returns {Promise<number>}
 */
export function countRows({ address, name }, table) {
  return withClient(address, async (client) => {
    const { rows } = await client.query(`SELECT count(*) AS count FROM ${name}.${table}`);
    return Number(rows[0].count);
  });
}

/**
 * @template T
 * @param {string} address
 * @param {(client: pg.Client) => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withClient(address, work) {
  const client = new pg.Client(address);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

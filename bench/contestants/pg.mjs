/** node-postgres by hand: a connection a worker. Options: `connections`, `batch` is how many events a transaction has. */
import pg from 'pg';
import { CONSUMER, effectOf, effectsOf, effectsSql } from './effects-sql.mjs';
import { eventWorkers } from './event-workers.mjs';

/** @typedef {import('../harness/types.mjs').EventData} EventData */

/**
 * @param {import('../harness/types.mjs').OpenRequest} request
 * @returns {Promise<import('../harness/types.mjs').Session>}
 */
export async function open({ target, options, handle }) {
  const sql = effectsSql(target.name);
  const size = Number(options.batch ?? 1);
  const clients = Array.from({ length: Number(options.connections ?? 10) }, () => new pg.Client(target.address));
  await Promise.all(clients.map((client) => client.connect()));
  const once = size === 1 ? onceEach : onceTogether;
  const workers = clients.map((client) => ({
    handle: (/** @type {EventData[]} */ events) => once({ client, sql }, events, async (data) => handle?.(data)),
  }));
  const { publishMany, idle } = eventWorkers(workers, size);
  return {
    publish: (event) => publishMany([event]),
    publishMany,
    close: async () => {
      await idle();
      await Promise.all(clients.map((client) => client.end()));
    },
  };
}

/**
 * @typedef {object} Database
 * @property {pg.Client} client
 * @property {ReturnType<typeof effectsSql>} sql
 */

/**
 * @param {Database} database
 * @param {EventData[]} events one
 * @param {(data: EventData) => Promise<void>} handled
 */
async function onceEach({ client, sql }, events, handled) {
  for (const data of events) {
    await client.query('BEGIN');
    const { rowCount } = await client.query(sql.remember, [CONSUMER, String(data.sequence)]);
    if (rowCount === 1) {
      await client.query(sql.effect, effectOf(data));
      await handled(data);
    }
    await client.query('COMMIT');
  }
}

/**
 * @param {Database} database
 * @param {EventData[]} events
 * @param {(data: EventData) => Promise<void>} handled
 */
async function onceTogether({ client, sql }, events, handled) {
  await client.query('BEGIN');
  const ids = events.map(({ sequence }) => String(sequence));
  const { rows } = await client.query(sql.rememberMany, [CONSUMER, ids]);
  const fresh = new Set(rows.map(({ event_id }) => event_id));
  const left = events.filter(({ sequence }) => fresh.has(String(sequence)));
  await client.query(sql.effects, effectsOf(left));
  for (const data of left) await handled(data);
  await client.query('COMMIT');
}

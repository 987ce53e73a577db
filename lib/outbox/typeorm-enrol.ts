import type { EntityManager } from 'typeorm';
import { lockNumber, shareOf } from '../typeorm/advisory-lock.js';
import { escapeText } from '../typeorm/postgres-text.js';
import { envelopeToJson } from './outbox-entry.js';
import type { OutboxEntry } from './outbox-store.js';
import { SLOTS } from './typeorm-outbox-table.js';

export interface EnrolRequest {
  readonly entries: readonly OutboxEntry[];
  readonly schemaName: string;
  /** Ready for SQL. */
  readonly schema: string;
  /** Where other processes listen for the commit; `undefined`: they look by themselves. */
  readonly channel: string | undefined;
}

/** Writes entries in the order given, in the manager's transaction. */
export async function enrol(manager: EntityManager, request: EnrolRequest): Promise<void> {
  const { entries, schema, channel } = request;
  // Written as text first: data that cannot be written must not leave locks behind.
  const rows = entries.map((entry) => ({ ...entry, json: envelopeToJson(entry.envelope), key: lineKey(entry) }));
  await takeTurns(manager, request);
  const column = <T>(of: (row: (typeof rows)[number]) => T): T[] => rows.map(of);
  const insert = `INSERT INTO ${schema}.outbox (slot, id, name, key, transport, envelope, state, not_before)
     SELECT slot, id, name, key, transport, envelope::json,
            CASE WHEN not_before IS NULL THEN 'waiting' ELSE 'delayed' END, not_before
     FROM (
       SELECT *, coalesce(
           'epoch'::timestamptz + not_before_ms * interval '1 millisecond',
           clock_timestamp() + delay_ms * interval '1 millisecond'
         ) AS not_before
       FROM unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::float8[], $8::float8[])
         WITH ORDINALITY AS entry (slot, id, name, key, transport, envelope, delay_ms, not_before_ms, ordinality)
     ) AS entry
     ORDER BY ordinality`;
  const values = [
    column(({ key, envelope }) => shareOf(key ?? envelope.id, SLOTS)),
    column(({ envelope }) => escapeText(envelope.id)),
    column(({ envelope }) => envelope.name),
    column(({ key }) => (key === undefined ? null : escapeText(key))),
    column(({ transport }) => transport),
    column(({ json }) => json),
    column(({ delayMs }) => delayMs ?? null),
    column(({ notBefore }) => notBefore?.getTime() ?? null),
  ];
  if (channel === undefined) await manager.query(insert, values);
  else {
    const transports = JSON.stringify([...new Set(entries.map(({ transport }) => transport))]);
    // Sent by the server at the commit, in the same statement to save a round trip.
    await manager.query(`WITH enrolled AS (${insert}) SELECT pg_notify($9, $10)`, [...values, channel, transports]);
  }
}

/** The key whose order an entry keeps: one with a time of its own is in no line. */
function lineKey({ envelope, delayMs, notBefore }: OutboxEntry): string | undefined {
  return delayMs === undefined && notBefore === undefined ? envelope.key : undefined;
}

/**
 * Transactions that publish the same key take turns until they have ended: positions, given after the lock, then
 * follow the order of commits, and no late commit has a lower position than one that was published. Sorted, so that
 * two of them cannot wait for each other.
 */
async function takeTurns(manager: EntityManager, { entries, schemaName }: EnrolRequest): Promise<void> {
  const keys = new Set(entries.map(lineKey).filter((key) => key !== undefined));
  if (keys.size === 0) return;
  const locks = [...keys].map((key) => lockNumber('outbox-key', schemaName, key)).sort();
  await manager.query('SELECT count(pg_advisory_xact_lock(lock)) FROM unnest($1::bigint[]) AS lock', [locks]);
}

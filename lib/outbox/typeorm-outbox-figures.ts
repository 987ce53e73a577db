import type { DataSource } from 'typeorm';
import { escapeText } from '../typeorm/postgres-text.js';
import { envelopeFromJson } from './outbox-entry.js';
import type { OutboxLag, ParkedEvent, ParkedQuery } from './outbox-store.js';
import { SLOTS, type OutboxTable } from './typeorm-outbox-table.js';

/** How far is counted. */
const COUNTED = 100_000;

/** The transports that entries wait for: one read of the index for each, however many entries there are. */
export async function waitingTransports(dataSource: DataSource, { schema }: OutboxTable): Promise<string[]> {
  const rows: { name: string }[] = await dataSource.query(
    `${namesOfTransports(schema)} SELECT name FROM transports WHERE name IS NOT NULL`,
  );
  return rows.map(({ name }) => name);
}

export async function lagOf(dataSource: DataSource, { schema }: OutboxTable): Promise<OutboxLag> {
  const some = (what: string, state: string): string =>
    `(SELECT ${what} FROM (
        SELECT created_at, not_before FROM ${schema}.outbox WHERE state = '${state}' LIMIT ${COUNTED}
      ) AS entry)`;
  const [row]: [Record<'in_line' | 'retrying' | 'due' | 'delayed' | 'parked', number> & { age_ms: number | null }] =
    await dataSource.query(
      `${namesOfTransports(schema)}
     SELECT ${some('count(*)', 'waiting')}::int + ${some('count(*)', 'held')}::int AS in_line,
            retrying.count::int AS retrying, delayed.due::int AS due, delayed.later::int AS delayed,
            ${some('count(*)', 'parked')}::int AS parked,
            extract(epoch FROM clock_timestamp() - least(oldest.at, retrying.oldest, delayed.oldest))::float8 * 1000 AS age_ms
     FROM ${some('count(*), min(created_at) AS oldest', 'retrying')} AS retrying,
          ${some(
            `count(*) FILTER (WHERE not_before <= now()) AS due, count(*) FILTER (WHERE not_before > now()) AS later,
             min(not_before) FILTER (WHERE not_before <= now()) AS oldest`,
            'delayed',
          )} AS delayed,
          (SELECT min(first.created_at) AS at
           FROM transports CROSS JOIN generate_series(0, ${SLOTS - 1}) AS s(slot)
           CROSS JOIN LATERAL (
             SELECT created_at FROM ${schema}.outbox
             WHERE transport = transports.name AND slot = s.slot AND state = 'waiting' ORDER BY position LIMIT 1
           ) AS first) AS oldest`,
    );
  return {
    waiting: Math.min(row.in_line + row.retrying + row.due, COUNTED),
    oldestAgeMs: row.age_ms === null ? undefined : Math.max(0, Math.round(row.age_ms)),
    delayed: row.delayed,
    parked: row.parked,
  };
}

interface ParkedRow {
  readonly id: string;
  readonly name: string;
  readonly transport: string;
  readonly attempts: number;
  readonly last_error: string | null;
  readonly created_at: Date;
  readonly parked_at: Date;
  readonly envelope: string;
}

export async function parkedEvents(
  dataSource: DataSource,
  { schema }: OutboxTable,
  { limit = 100, offset = 0 }: ParkedQuery,
): Promise<ParkedEvent[]> {
  const rows: ParkedRow[] = await dataSource.query(
    `SELECT id, name, transport, attempts, last_error, created_at, parked_at, envelope::text AS envelope
     FROM ${schema}.outbox WHERE state = 'parked' ORDER BY position LIMIT $1 OFFSET $2`,
    [limit, offset],
  );
  return rows.map(toParked);
}

/** Returns the transports of those that were released, one for each. */
export async function releaseParked(
  dataSource: DataSource,
  { schema }: OutboxTable,
  ids: readonly string[],
): Promise<string[]> {
  const rows: { transport: string }[] = await dataSource.query(
    `WITH released AS (
       UPDATE ${schema}.outbox SET state = 'waiting', attempts = 0, parked_at = NULL
       WHERE state = 'parked' AND id = ANY($1::text[]) RETURNING transport
     ) SELECT transport FROM released`,
    [ids.map(escapeText)],
  );
  return rows.map(({ transport }) => transport);
}

export async function discardParked(
  dataSource: DataSource,
  { schema }: OutboxTable,
  ids: readonly string[],
): Promise<number> {
  const rows: [{ count: number }] = await dataSource.query(
    `WITH discarded AS (
       DELETE FROM ${schema}.outbox WHERE state = 'parked' AND id = ANY($1::text[]) RETURNING 1
     ) SELECT count(*)::int AS count FROM discarded`,
    [ids.map(escapeText)],
  );
  return rows[0].count;
}

function toParked(row: ParkedRow): ParkedEvent {
  const envelope = readable(row.envelope);
  return {
    id: envelope?.id ?? row.id,
    event: row.name,
    transport: row.transport,
    attempts: row.attempts,
    error: row.last_error ?? '',
    enrolledAt: row.created_at,
    parkedAt: row.parked_at,
    envelope,
  };
}

function readable(json: string): ParkedEvent['envelope'] {
  try {
    return envelopeFromJson(json);
  } catch {
    return undefined;
  }
}

/** From name to name by the index, which no DISTINCT does. */
function namesOfTransports(schema: string): string {
  const next = (after: string): string =>
    `(SELECT transport FROM ${schema}.outbox WHERE state = 'waiting' ${after} ORDER BY transport LIMIT 1)`;
  return `WITH RECURSIVE transports(name) AS (
       ${next('')}
       UNION ALL
       SELECT ${next('AND transport > transports.name')} FROM transports WHERE name IS NOT NULL
     )`;
}

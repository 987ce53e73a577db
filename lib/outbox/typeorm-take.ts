import type { QueryRunner } from 'typeorm';
import { SLOTS, type OutboxTable } from './typeorm-outbox-table.js';

/** How many slots one batch takes: two batches find work side by side, and many keys at once make sends to a broker large. */
const SLOTS_OF_A_BATCH = 32;
/** What a batch reads, as the table stores it; large envelopes are compressed there. One entry is always read. */
const MAX_STORED_BYTES = 8_000_000;

export interface Due {
  /** With something to publish now, in any order. */
  readonly slots: readonly number[];
  readonly nextDueInMs: number | undefined;
}

/** A row of a batch. */
export interface Taken {
  readonly position: string;
  readonly line: string | null;
  readonly attempts: number;
  readonly state: 'waiting' | 'retrying' | 'delayed' | 'held';
  /** `null` for one whose line is held up: it is not to be published now. */
  readonly envelope: string | null;
}

/** One look at the head of each slot, by index: the same few reads whether millions of rows wait for their time or none. */
export async function findDue(runner: QueryRunner, { schema }: OutboxTable, transport: string): Promise<Due> {
  const first = (state: 'retrying' | 'delayed'): string =>
    `LEFT JOIN LATERAL (
       SELECT not_before FROM ${schema}.outbox
       WHERE transport = $1 AND slot = s.slot AND state = '${state}' ORDER BY not_before LIMIT 1
     ) AS ${state} ON true`;
  const rows = (await runner.query(
    `SELECT s.slot, waiting.position IS NOT NULL AS waits,
            extract(epoch FROM least(retrying.not_before, delayed.not_before) - clock_timestamp())::float8 * 1000 AS due_in_ms
     FROM generate_series(0, ${SLOTS - 1}) AS s(slot)
     LEFT JOIN LATERAL (
       SELECT position FROM ${schema}.outbox
       WHERE transport = $1 AND slot = s.slot AND state = 'waiting' ORDER BY position LIMIT 1
     ) AS waiting ON true
     ${first('retrying')}
     ${first('delayed')}
     WHERE coalesce(waiting.position::text, retrying.not_before::text, delayed.not_before::text) IS NOT NULL`,
    [transport],
  )) as { slot: number; waits: boolean; due_in_ms: number | null }[];
  const later = rows.flatMap(({ due_in_ms: ms }) => (ms === null || ms <= 0 ? [] : [Math.ceil(ms)]));
  return {
    slots: rows.filter(({ waits, due_in_ms: ms }) => waits || (ms !== null && ms <= 0)).map(({ slot }) => slot),
    nextDueInMs: later.length === 0 ? undefined : Math.min(...later),
  };
}

/**
 * Locks slots that nobody else holds until the transaction ends, with the connection at the latest. The server ends a
 * transaction that is idle for longer than the lease: a relay that hangs cannot keep its slots. The commit need not wait
 * for the disk: a server that crashes right after it has the events sent again, with the same ids.
 */
export async function lockSlots(
  runner: QueryRunner,
  lock: string,
  { slots, leaseMs }: { readonly slots: readonly number[]; readonly leaseMs: number },
): Promise<number[]> {
  const rows = (await runner.query(
    `SELECT slot,
            set_config('idle_in_transaction_session_timeout', $3, true),
            set_config('synchronous_commit', 'off', true)
     FROM unnest($2::smallint[]) AS slot
     WHERE pg_try_advisory_xact_lock($1::bigint # slot)
     LIMIT ${SLOTS_OF_A_BATCH}`,
    [lock, shuffled(slots), String(leaseMs)],
  )) as { slot: number }[];
  return rows.map(({ slot }) => slot);
}

/** What is due in slots that were locked before: a statement sees what was committed when it began. */
export async function readDue(
  runner: QueryRunner,
  { schema }: OutboxTable,
  request: { readonly transport: string; readonly slots: readonly number[]; readonly limit: number },
): Promise<Taken[]> {
  const { transport, slots, limit } = request;
  const COLUMNS = 'position, line, attempts, state, envelope';
  const timed = (state: 'retrying' | 'delayed'): string =>
    `(SELECT ${COLUMNS} FROM ${schema}.outbox
      WHERE transport = $1 AND slot = s.slot AND state = '${state}' AND not_before <= now()
      ORDER BY not_before LIMIT $3)`;
  return (await runner.query(
    `SELECT position, line, attempts, state, CASE WHEN held_up THEN NULL ELSE envelope::text END AS envelope
     FROM (
       SELECT entry.*,
              row_number() OVER turn AS turn,
              sum(pg_column_size(entry.envelope)) OVER turn - pg_column_size(entry.envelope) AS before,
              entry.state = 'waiting' AND EXISTS (
                SELECT FROM ${schema}.outbox AS head
                WHERE head.transport = $1 AND head.line = entry.line AND head.state = 'retrying'
              ) AS held_up
       FROM unnest($2::smallint[]) WITH ORDINALITY AS s(slot, place)
       CROSS JOIN LATERAL (
         ${timed('retrying')}
         UNION ALL
         ${timed('delayed')}
         UNION ALL
         (SELECT ${COLUMNS} FROM ${schema}.outbox
          WHERE transport = $1 AND slot = s.slot AND state = 'waiting' ORDER BY position LIMIT $3)
       ) AS entry
       WINDOW turn AS (ORDER BY s.place, entry.state = 'waiting', entry.position)
     ) AS due
     WHERE before < $4
     ORDER BY turn
     LIMIT $5`,
    [transport, slots, Math.ceil(limit / slots.length), MAX_STORED_BYTES, limit],
  )) as Taken[];
}

/** Those held behind heads that are due again, in order. */
export async function readHeld(
  runner: QueryRunner,
  { schema }: OutboxTable,
  request: { readonly transport: string; readonly lines: readonly string[]; readonly limit: number },
): Promise<Taken[]> {
  const { transport, lines, limit } = request;
  return (await runner.query(
    `SELECT position, line, attempts, state, envelope::text AS envelope
     FROM (
       SELECT held.*,
              sum(pg_column_size(envelope)) OVER (ORDER BY held.line, position) - pg_column_size(envelope) AS before
       FROM unnest($2::bigint[]) AS l(line)
       CROSS JOIN LATERAL (
         SELECT position, line, attempts, state, envelope FROM ${schema}.outbox
         WHERE transport = $1 AND line = l.line AND state = 'held' ORDER BY position LIMIT $3
       ) AS held
     ) AS held
     WHERE before < $4
     ORDER BY position
     LIMIT $5`,
    [transport, lines, Math.ceil(limit / lines.length), MAX_STORED_BYTES, limit],
  )) as Taken[];
}

/** So that relays which look at the same moment begin at different ends. */
function shuffled(slots: readonly number[]): number[] {
  return slots
    .map((slot) => ({ slot, place: Math.random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ slot }) => slot);
}

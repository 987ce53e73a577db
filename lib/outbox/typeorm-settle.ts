import type { QueryRunner } from 'typeorm';
import type { Relayed } from './outbox-store.js';
import type { OutboxTable } from './typeorm-outbox-table.js';
import type { Taken } from './typeorm-take.js';

/** What a batch has read, and what became of it. */
export interface BatchToSettle {
  readonly transport: string;
  readonly taken: readonly Taken[];
  /** By position in `taken`; those that were not handed over are `left`. */
  readonly relayed: readonly Relayed[];
}

interface Put {
  readonly position: string;
  readonly error: string;
  readonly afterMs: number;
}

/** Writes down what became of a batch: usually one statement, the more only where something failed. */
export async function settle(runner: QueryRunner, table: OutboxTable, batch: BatchToSettle): Promise<void> {
  const { taken, relayed } = batch;
  const rows = taken.map((row, index) => ({ row, result: relayed[index] as Relayed }));
  const put = (type: 'failed' | 'parked'): Put[] =>
    rows.flatMap(({ row: { position }, result }) => {
      if (result.type !== type) return [];
      return [{ position, error: result.error, afterMs: result.type === 'failed' ? result.retryAfterMs : 0 }];
    });
  const failed = put('failed');
  const parked = put('parked');

  await forget(
    runner,
    table,
    rows.flatMap(({ row, result }) => (result.type === 'published' ? [row.position] : [])),
  );
  if (failed.length > 0) await putOff(runner, table, failed);
  if (parked.length > 0) await park(runner, table, parked);
  await hold(runner, table, heldUp(rows));
  await promote(runner, table, { transport: batch.transport, lines: freed(rows) });
}

interface Settled {
  readonly row: Taken;
  readonly result: Relayed;
}

/** In line behind one that waits for its next attempt: taken out of the way, or each batch would read them again. */
function heldUp(rows: readonly Settled[]): string[] {
  const failed = new Set(rows.flatMap(({ row, result }) => (result.type === 'failed' && row.line ? [row.line] : [])));
  return rows
    .filter(({ row, result }) => row.state === 'waiting' && result.type === 'left' && row.line !== null)
    .filter(({ row: { line, envelope } }) => envelope === null || failed.has(line as string))
    .map(({ row }) => row.position);
}

/** Lines that were held up and have lost their head: the next of those held behind it takes its place. */
function freed(rows: readonly Settled[]): string[] {
  const lines = new Map<string, boolean>();
  const decided = new Set<string>();
  for (const { row, result } of rows) {
    if (row.line === null || row.state === 'waiting' || decided.has(row.line)) continue;
    const isGone = result.type === 'published' || result.type === 'parked';
    // The first that is still there is a head, unless it was held and nothing has happened to it.
    if (!isGone) decided.add(row.line);
    lines.set(row.line, isGone || (result.type === 'left' && row.state === 'held'));
  }
  return [...lines].flatMap(([line, isFree]) => (isFree ? [line] : []));
}

async function forget(
  runner: QueryRunner,
  { schema, keeps }: OutboxTable,
  positions: readonly string[],
): Promise<void> {
  if (positions.length === 0) return;
  await runner.query(
    keeps
      ? `UPDATE ${schema}.outbox SET state = 'published', published_at = clock_timestamp(), not_before = NULL
         WHERE position = ANY($1::bigint[])`
      : `DELETE FROM ${schema}.outbox WHERE position = ANY($1::bigint[])`,
    [positions],
  );
}

async function putOff(runner: QueryRunner, { schema }: OutboxTable, failed: readonly Put[]): Promise<void> {
  // clock_timestamp(), because now() is when the transaction began, before the events were tried.
  await runner.query(
    `UPDATE ${schema}.outbox AS entry
     SET state = 'retrying', attempts = attempts + 1, last_error = failed.error,
         not_before = clock_timestamp() + failed.after_ms * interval '1 millisecond'
     FROM unnest($1::bigint[], $2::text[], $3::float8[]) AS failed (position, error, after_ms)
     WHERE entry.position = failed.position`,
    [failed.map(({ position }) => position), failed.map(({ error }) => error), failed.map(({ afterMs }) => afterMs)],
  );
}

async function park(runner: QueryRunner, { schema }: OutboxTable, parked: readonly Put[]): Promise<void> {
  await runner.query(
    `UPDATE ${schema}.outbox AS entry
     SET state = 'parked', attempts = attempts + 1, last_error = parked.error,
         not_before = NULL, parked_at = clock_timestamp()
     FROM unnest($1::bigint[], $2::text[]) AS parked (position, error)
     WHERE entry.position = parked.position`,
    [parked.map(({ position }) => position), parked.map(({ error }) => error)],
  );
}

async function hold(runner: QueryRunner, { schema }: OutboxTable, positions: readonly string[]): Promise<void> {
  if (positions.length === 0) return;
  await runner.query(`UPDATE ${schema}.outbox SET state = 'held' WHERE position = ANY($1::bigint[])`, [positions]);
}

async function promote(
  runner: QueryRunner,
  { schema }: OutboxTable,
  { transport, lines }: { readonly transport: string; readonly lines: readonly string[] },
): Promise<void> {
  if (lines.length === 0) return;
  await runner.query(
    `UPDATE ${schema}.outbox SET state = 'retrying', not_before = clock_timestamp()
     WHERE position IN (
       SELECT next.position
       FROM unnest($2::bigint[]) AS freed(line)
       CROSS JOIN LATERAL (
         SELECT position FROM ${schema}.outbox
         WHERE transport = $1 AND line = freed.line AND state = 'held' ORDER BY position LIMIT 1
       ) AS next
     )`,
    [transport, lines],
  );
}

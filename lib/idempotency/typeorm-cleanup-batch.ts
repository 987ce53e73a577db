import type { QueryRunner } from 'typeorm';
import { giveBack } from '../typeorm/give-back.js';
import { readCommitted } from '../typeorm/read-committed.js';

export interface CleanupBatchRequest {
  /** With a connection of its own; released at the end. */
  readonly runner: QueryRunner;
  /** Ready for SQL. */
  readonly schema: string;
  /** The number of the advisory lock under which rows are deleted. */
  readonly lock: string;
  /** Who cleans: the one that has begun goes on, others leave it to it. */
  readonly cleaner: string;
  readonly days: number;
  readonly limit: number;
  /** What the batch before has reached. */
  readonly from: string | undefined;
}

export interface CleanupBatch {
  readonly rows: number;
  readonly reached: string | undefined;
}

/** How long a cleaner may pause before another takes over. */
const LEASE_SECONDS = 30;

/** Deletes the oldest rows in one short transaction; `undefined` when another instance is at it. */
export async function cleanupBatch(request: CleanupBatchRequest): Promise<CleanupBatch | undefined> {
  const { runner } = request;
  try {
    return await readCommitted(runner, async () => {
      const batch = (await takeTurn(request)) ? await deleteOldest(request) : undefined;
      if (batch !== undefined && batch.rows < request.limit) await giveUpTurn(request);
      return batch;
    });
  } finally {
    await giveBack(runner);
  }
}

/**
 * The lock keeps two batches apart and ends with the transaction, and so with the connection of an instance that died.
 * The row says whose pause it is between two batches.
 */
async function takeTurn({ runner, schema, lock, cleaner }: CleanupBatchRequest): Promise<boolean> {
  const [turn] = (await runner.query(
    `SELECT pg_try_advisory_xact_lock($1::bigint) AS alone, set_config('lock_timeout', '1s', true)`,
    [lock],
  )) as [{ alone: boolean }];
  if (!turn.alone) return false;
  const [row] = (await runner.query(
    `WITH mine AS (
       UPDATE ${schema}.retention
       SET cleaner = $1, cleaner_until = clock_timestamp() + make_interval(secs => ${LEASE_SECONDS})
       WHERE cleaner IS NULL OR cleaner = $1 OR cleaner_until < clock_timestamp()
       RETURNING 1
     ) SELECT count(*) > 0 AS mine FROM mine`,
    [cleaner],
  )) as [{ mine: boolean }];
  return row.mine;
}

async function giveUpTurn({ runner, schema, cleaner }: CleanupBatchRequest): Promise<void> {
  await runner.query(`UPDATE ${schema}.retention SET cleaner = NULL, cleaner_until = NULL WHERE cleaner = $1`, [
    cleaner,
  ]);
}

/**
 * By the index on processed_at, from where the batch before has ended: the index entries of deleted rows stay until a
 * vacuum, and reading over them again for each batch would cost more than deleting. Nothing else changes these rows, so
 * they need no lock before, which would ask for the right to update them.
 */
async function deleteOldest({ runner, schema, days, limit, from }: CleanupBatchRequest): Promise<CleanupBatch> {
  const [batch] = (await runner.query(
    `WITH old AS MATERIALIZED (
       SELECT ctid, processed_at FROM ${schema}.processed_events
       WHERE processed_at < now() - make_interval(hours => 24 * $1::int)
         AND processed_at >= coalesce($3::timestamptz, '-infinity')
       ORDER BY processed_at LIMIT $2::int
     ), deleted AS (
       DELETE FROM ${schema}.processed_events WHERE ctid = ANY (ARRAY(SELECT ctid FROM old)) RETURNING 1
     )
     SELECT (SELECT count(*) FROM deleted)::int AS rows,
       (SELECT to_char(max(processed_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM old) AS reached`,
    [days, limit, from ?? null],
  )) as [{ rows: number; reached: string | null }];
  return { rows: batch.rows, reached: batch.reached ?? undefined };
}

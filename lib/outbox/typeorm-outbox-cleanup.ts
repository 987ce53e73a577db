import type { StoreDatabase } from '../typeorm/store-database.js';

export interface OutboxCleanup {
  readonly database: StoreDatabase;
  /** The number of the advisory lock that one cleaning instance holds. */
  readonly lock: string;
  readonly keepDays: number;
}

const ROWS_OF_A_PIECE = 1_000;

/** Deletes what was published long ago, in short transactions, unless another instance is at it. Returns how many rows. */
export async function removePublished(cleanup: OutboxCleanup, signal: AbortSignal): Promise<number> {
  let removed = 0;
  for (;;) {
    const rows = signal.aborted ? 0 : await removePiece(cleanup);
    removed += rows;
    if (rows < ROWS_OF_A_PIECE) return removed;
  }
}

/** The lock ends with the transaction, and so with the connection of an instance that died. */
async function removePiece({ database, lock, keepDays }: OutboxCleanup): Promise<number> {
  const { schema } = database;
  const [row] = await database.query<{ count: number }>(
    `WITH turn AS MATERIALIZED (SELECT pg_try_advisory_xact_lock($1::bigint) AS mine),
     gone AS (
       DELETE FROM ${schema}.outbox WHERE position IN (
         SELECT position FROM ${schema}.outbox
         WHERE (SELECT mine FROM turn) AND state = 'published'
           AND published_at < now() - make_interval(hours => 24 * $2::int)
         ORDER BY published_at LIMIT ${ROWS_OF_A_PIECE}
       ) RETURNING 1
     )
     SELECT count(*)::int AS count FROM gone`,
    [lock, keepDays],
  );
  return row?.count ?? 0;
}

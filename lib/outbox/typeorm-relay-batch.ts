import type { QueryRunner } from 'typeorm';
import { messageOf, withoutCredentials } from '../core/errors.js';
import { printable } from '../core/logger.js';
import { giveBack } from '../typeorm/give-back.js';
import { envelopeFromJson } from './outbox-entry.js';
import type { OutboxEntry, RelayResult } from './outbox-store.js';

export interface RelayBatchRequest {
  /** With a connection of its own; released at the end. */
  readonly runner: QueryRunner;
  /** Ready for SQL. */
  readonly schema: string;
  /** The number of the advisory lock that only one relay of a database holds. */
  readonly lock: string;
  readonly limit: number;
  readonly publish: (entry: OutboxEntry) => Promise<void>;
}

interface Row {
  readonly position: string;
  readonly key: string | null;
  readonly transport: string;
  readonly envelope: string;
}

interface Failure {
  readonly position: string;
  readonly error: unknown;
}

const NOTHING: RelayResult = { published: 0, failed: 0, more: false };
const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 60_000;
const MAX_DOUBLINGS = 16;
const MAX_ERROR_LENGTH = 1_000;

/** One batch of the relay: take what is due, publish it in order per key, forget what was published, put off what failed. */
export async function relayBatch(request: RelayBatchRequest): Promise<RelayResult> {
  const { runner } = request;
  try {
    // Read committed, whatever the DataSource's default: the rows have to be those after the lock was had.
    await runner.startTransaction('READ COMMITTED');
    try {
      const result = (await isAlone(request)) ? await relayDue(request) : NOTHING;
      await runner.commitTransaction();
      return result;
    } catch (error) {
      await runner.rollbackTransaction().catch(() => undefined);
      throw error;
    }
  } finally {
    await giveBack(runner);
  }
}

/** The lock ends with the transaction, and so with the connection of a relay that died. */
async function isAlone({ runner, lock }: RelayBatchRequest): Promise<boolean> {
  // The transaction is idle while events are published; a server that ends idle ones would have them sent twice.
  const [row] = (await runner.query(
    `SELECT pg_try_advisory_xact_lock($1::bigint) AS alone, set_config('idle_in_transaction_session_timeout', '0', true)`,
    [lock],
  )) as [{ alone: boolean }];
  return row.alone;
}

async function relayDue(request: RelayBatchRequest): Promise<RelayResult> {
  const rows = await takeDue(request);
  const published: string[] = [];
  const failures: Failure[] = [];
  await Promise.all(
    byKey(rows).map(async (line) => {
      for (const row of line) {
        try {
          await request.publish({ envelope: envelopeFromJson(row.envelope), transport: row.transport });
          published.push(row.position);
        } catch (error) {
          // Those behind it wait with it, or the order of the key were lost.
          failures.push({ position: row.position, error });
          return;
        }
      }
    }),
  );
  await forget(request, published);
  await putOff(request, failures);
  return { published: published.length, failed: failures.length, more: rows.length === request.limit };
}

/** Due entries by position, without those of a key whose earlier entry waits for its time. */
async function takeDue({ runner, schema, limit }: RelayBatchRequest): Promise<Row[]> {
  return (await runner.query(
    `SELECT position, key, transport, envelope::text AS envelope
     FROM ${schema}.outbox AS entry
     WHERE (not_before IS NULL OR not_before <= now())
       AND NOT EXISTS (
         SELECT FROM ${schema}.outbox AS earlier
         WHERE earlier.not_before > now() AND earlier.key = entry.key AND earlier.position < entry.position
       )
     ORDER BY position
     LIMIT $1`,
    [limit],
  )) as Row[];
}

async function forget({ runner, schema }: RelayBatchRequest, positions: readonly string[]): Promise<void> {
  if (positions.length === 0) return;
  await runner.query(`DELETE FROM ${schema}.outbox WHERE position = ANY($1::bigint[])`, [positions]);
}

async function putOff({ runner, schema }: RelayBatchRequest, failures: readonly Failure[]): Promise<void> {
  if (failures.length === 0) return;
  // clock_timestamp(), because now() is when the transaction began, before the events were tried.
  await runner.query(
    `UPDATE ${schema}.outbox AS entry
     SET attempts = attempts + 1,
         last_error = failure.error,
         not_before = clock_timestamp()
           + least($3::float8 * 2 ^ least(attempts, $5::int), $4::float8) * interval '1 millisecond'
     FROM unnest($1::bigint[], $2::text[]) AS failure (position, error)
     WHERE entry.position = failure.position`,
    [
      failures.map(({ position }) => position),
      failures.map(({ error }) => printable(withoutCredentials(messageOf(error)), MAX_ERROR_LENGTH)),
      FIRST_BACKOFF_MS,
      MAX_BACKOFF_MS,
      MAX_DOUBLINGS,
    ],
  );
}

/** Entries of one key in one line, in order; each entry without a key in a line of its own. */
function byKey(rows: readonly Row[]): Row[][] {
  const lines = new Map<string, Row[]>();
  const loose: Row[][] = [];
  for (const row of rows) {
    if (row.key === null) loose.push([row]);
    else {
      const line = lines.get(row.key);
      if (line === undefined) lines.set(row.key, [row]);
      else line.push(row);
    }
  }
  return [...lines.values(), ...loose];
}

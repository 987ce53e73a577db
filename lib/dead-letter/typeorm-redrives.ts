import { randomUUID } from 'node:crypto';
import { redriveNotFound } from './dead-letter-errors.js';
import type {
  DeadLetterCriteria,
  DeadLetterPageRequest,
  Operator,
  Redrive,
  RedriveRequest,
  RedriveResult,
  RedriveResultPage,
} from './dead-letter-store.js';
import type { LetterSession } from './typeorm-letter-database.js';
import { addFilter, Conditions } from './typeorm-letter-filter.js';
import { storable } from './typeorm-letter-identity.js';
import { errorOf } from './typeorm-letter-lists.js';
import { keysetOf, pageOf } from './typeorm-letter-pages.js';
import { given, rfc3339 } from './typeorm-letter-rows.js';

/** A new redrive, without dead letters yet. Returns its number. */
export async function beginRedrive({ schema, query }: LetterSession, request: RedriveRequest): Promise<string> {
  const [row] = await query<{ number: string }>(
    `INSERT INTO ${schema}.redrives (id, requested_by, note, rate_per_second)
     VALUES ($1, $2, $3, $4::float8) RETURNING number::text AS number`,
    [
      randomUUID(),
      storable(request.by),
      request.note === undefined ? null : storable(request.note),
      request.ratePerSecond ?? null,
    ],
  );
  return (row as { number: string }).number;
}

/** Of two who ask for the same, the one that locks first gets it: the other's look at the state is repeated then. */
export async function requestLetters(
  session: LetterSession,
  filter: DeadLetterCriteria,
  request: RedriveRequest,
): Promise<Redrive> {
  const { schema, query } = session;
  const number = await beginRedrive(session, request);
  const conditions = addFilter(new Conditions(number), filter);
  if (filter.state !== undefined) conditions.add('state = ANY(?::text[])', [filter.state].flat());
  await query(
    `WITH found AS (
       SELECT id FROM ${schema}.dead_letters
       WHERE state = 'waiting' AND ${conditions.sql}
       ORDER BY position FOR UPDATE
     ),
     requested AS (
       UPDATE ${schema}.dead_letters AS letter SET state = 'requested', redrive = $1::bigint, claimed_at = NULL
       FROM found WHERE letter.id = found.id
       RETURNING letter.id, letter.position
     )
     INSERT INTO ${schema}.dead_letter_actions (letter, action, redrive)
     SELECT id, 'requested', $1::bigint FROM requested ORDER BY position`,
    conditions.parameters,
  );
  return redriveOf(session, 'number', number) as Promise<Redrive>;
}

/** What has not begun is waiting again. Throws EVENTS_REDRIVE_NOT_FOUND. */
export async function abortRedrive(session: LetterSession, redriveId: string, operator: Operator): Promise<Redrive> {
  const { schema, query } = session;
  const id = storable(redriveId);
  // First, so that whoever is about to request more for it sees it, or has done so before the next statement.
  const [redrive] = await query<{ number: string }>(
    `WITH aborted AS (
       UPDATE ${schema}.redrives SET aborted_at = coalesce(aborted_at, clock_timestamp())
       WHERE id = $1 AND EXISTS (
         SELECT FROM ${schema}.dead_letters WHERE redrive = redrives.number AND state IN ('requested', 'running')
       )
       RETURNING number
     ) SELECT number::text AS number FROM aborted`,
    [id],
  );
  if (redrive !== undefined) await giveUpRequested(session, redrive.number, operator);
  const result = await redriveOf(session, 'id', id);
  if (result !== undefined) return result;
  throw redriveNotFound(redriveId);
}

async function giveUpRequested({ schema, query }: LetterSession, number: string, operator: Operator): Promise<void> {
  await query(
    `WITH found AS (
       SELECT id FROM ${schema}.dead_letters WHERE state = 'requested' AND redrive = $1::bigint
       ORDER BY position FOR UPDATE
     ),
     waiting AS (
       UPDATE ${schema}.dead_letters AS letter SET state = 'waiting'
       FROM found WHERE letter.id = found.id
       RETURNING letter.id, letter.position
     )
     INSERT INTO ${schema}.dead_letter_actions (letter, action, redrive, done_by, note)
     SELECT id, 'aborted', $1::bigint, $2, $3 FROM waiting ORDER BY position`,
    [number, storable(operator.by), operator.note === undefined ? null : storable(operator.note)],
  );
}

interface RedriveRow extends Record<'total' | 'handled' | 'duplicates' | 'dropped' | 'failed' | 'taken_out', number> {
  readonly number: string;
  readonly id: string;
  readonly requested_by: string;
  readonly note: string | null;
  readonly rate_per_second: number | null;
  readonly requested_at: string;
  readonly aborted_at: string | null;
  readonly latest_at: string;
}

const redriveColumns = (schema: string): string => `redrives.number::text AS number, redrives.id, requested_by, note,
  rate_per_second, ${rfc3339('requested_at')} AS requested_at, ${rfc3339('aborted_at')} AS aborted_at,
  ${rfc3339('coalesce(latest_at, requested_at)')} AS latest_at, total, handled, duplicates, dropped, failed, taken_out
  FROM ${schema}.redrives
  CROSS JOIN LATERAL (
    SELECT ${Object.entries(COUNTS)
      .map(([name, action]) => `count(*) FILTER (WHERE action = '${action}')::float8 AS ${name}`)
      .join(', ')}, max(at) AS latest_at
    FROM ${schema}.dead_letter_actions AS action WHERE action.redrive = redrives.number
  ) AS counts`;

const COUNTS = {
  total: 'requested',
  handled: 'handled',
  duplicates: 'duplicate',
  dropped: 'dropped',
  failed: 'failed',
  taken_out: 'aborted',
} as const;

export async function redriveOf(
  { schema, query }: LetterSession,
  by: 'id' | 'number',
  value: string,
): Promise<Redrive | undefined> {
  const [row] = await query<RedriveRow>(`SELECT ${redriveColumns(schema)} WHERE redrives.${by} = $1`, [
    storable(value),
  ]);
  return row && toRedrive(row);
}

export async function redrivesPage(
  { schema, query }: LetterSession,
  page: DeadLetterPageRequest,
): Promise<{ items: readonly Redrive[]; next?: string }> {
  const { limit, after } = keysetOf(page);
  const rows = await query<RedriveRow>(
    `SELECT ${redriveColumns(schema)} WHERE redrives.number > $2::bigint ORDER BY redrives.number LIMIT $1::int`,
    [limit + 1, after],
  );
  return pageOf(rows, limit, { item: toRedrive, number: ({ number }) => number });
}

interface ResultRow {
  readonly number: string;
  readonly letter: string;
  readonly event: string | null;
  readonly event_id: string | null;
  readonly action: string | null;
  readonly at: string | null;
  readonly error_code: string | null;
  readonly error_message: string | null;
}

export async function resultsPage(
  { schema, query }: LetterSession,
  redriveId: string,
  page: DeadLetterPageRequest,
): Promise<RedriveResultPage> {
  const { limit, after } = keysetOf(page);
  const rows = await query<ResultRow>(
    `SELECT asked.number::text AS number, asked.letter, event, event_id, result.action,
            ${rfc3339('result.at')} AS at, result.error_code, result.error_message
     FROM (
       SELECT number, letter, redrive FROM ${schema}.dead_letter_actions
       WHERE redrive = (SELECT number FROM ${schema}.redrives WHERE id = $3)
         AND action = 'requested' AND number > $2::bigint
       ORDER BY number LIMIT $1::int
     ) AS asked
     LEFT JOIN ${schema}.dead_letters AS letter ON letter.id = asked.letter
     LEFT JOIN LATERAL (
       SELECT action, at, error_code, error_message FROM ${schema}.dead_letter_actions AS later
       WHERE later.letter = asked.letter AND later.number > asked.number
         AND later.redrive = asked.redrive AND later.action <> 'requested'
       ORDER BY later.number LIMIT 1
     ) AS result ON true
     ORDER BY asked.number`,
    [limit + 1, after, storable(redriveId)],
  );
  return pageOf(rows, limit, { item: toResult, number: ({ number }) => number });
}

function toResult(row: ResultRow): RedriveResult {
  return {
    letter: row.letter,
    ...given('event', row.event),
    ...given('eventId', row.event_id),
    result: (row.action ?? 'pending') as RedriveResult['result'],
    ...given('at', row.at),
    ...errorOf(row),
  };
}

/** Nothing keeps the state: a redrive is done when nothing is left of it, without anybody having to notice. */
function toRedrive(row: RedriveRow): Redrive {
  const { total, handled, duplicates, dropped, failed, taken_out: aborted } = row;
  const pending = total - handled - duplicates - dropped - failed - aborted;
  const state = row.aborted_at !== null ? 'aborted' : pending > 0 ? 'running' : 'done';
  return {
    id: row.id,
    state,
    by: row.requested_by,
    ...given('note', row.note),
    requestedAt: row.requested_at,
    ...(state === 'running' ? {} : { finishedAt: row.aborted_at ?? row.latest_at }),
    ...given('ratePerSecond', row.rate_per_second),
    ...{ total, pending, handled, duplicates, dropped, failed, aborted },
  };
}

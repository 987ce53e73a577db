import type { ClaimedDeadLetter, ClaimRequest } from './dead-letter-store.js';
import type { LetterDatabase, LetterSession } from './typeorm-letter-database.js';
import { indexed, letterKey } from './typeorm-letter-identity.js';
import { BYTES_BEFORE, MAX_BODY_BYTES } from './typeorm-letter-lists.js';
import { selected, toLetter, type LetterRow } from './typeorm-letter-rows.js';

type Lease = Pick<ClaimRequest, 'by' | 'leaseMs'>;

/**
 * Claims take turns, in this schema: each then sees what the one before has taken, and never takes a second one of a
 * line. They are short: each finds the first of a line by index, whatever waits behind it.
 */
export async function claimLetters(database: LetterDatabase, request: ClaimRequest): Promise<ClaimedDeadLetter[]> {
  const consumers = request.consumers.map(indexed);
  if (consumers.length === 0 || request.limit < 1) return [];
  const rows = await database.transaction(async (session) => {
    const redrives = await openRedrives(session, consumers);
    if (redrives === undefined) return [];
    await session.query('SELECT pg_advisory_xact_lock($1::bigint)', [session.claimLock]);
    const picked = await expired(session, { consumers, limit: request.limit });
    for (const redrive of redrives) {
      const limit = Math.min(request.limit - picked.length, await allowance(session, redrive));
      if (limit > 0) picked.push(...(await firstOfLines(session, { redrive: redrive.number, consumers, limit })));
    }
    return take(session, picked, request);
  });
  return rows.map((row) => ({ letter: toLetter(row), redriveId: row.redrive_id ?? '' }));
}

interface OpenRedrive {
  readonly number: string;
  readonly rate: number | null;
}

/** Redrives with something to do for these consumers, oldest first; `undefined`: nothing at all to do. */
async function openRedrives(
  { schema, query }: LetterSession,
  consumers: readonly string[],
): Promise<readonly OpenRedrive[] | undefined> {
  // Ordered, also where the order does not matter: no other way than the index must look good to the planner.
  const next = (after: string): string =>
    `SELECT redrive, consumer FROM ${schema}.dead_letters
     WHERE state = 'requested' ${after} ORDER BY redrive, consumer LIMIT 1`;
  const rows = await query<OpenRedrive & { expired: boolean }>(
    `WITH RECURSIVE requested AS (
       (${next('')})
       UNION ALL
       SELECT further.* FROM requested
       CROSS JOIN LATERAL (${next('AND (redrive, consumer) > (requested.redrive, requested.consumer)')}) AS further
     )
     SELECT number::text AS number, rate_per_second AS rate, false AS expired
     FROM ${schema}.redrives WHERE number IN (SELECT redrive FROM requested WHERE consumer = ANY($1::text[]))
     UNION ALL
     SELECT NULL, NULL, true WHERE (
       SELECT true FROM ${schema}.dead_letters
       WHERE state = 'running' AND claimed_until < clock_timestamp() AND consumer = ANY($1::text[])
       ORDER BY claimed_until LIMIT 1
     )`,
    [consumers],
  );
  if (rows.length === 0) return undefined;
  return rows.filter((row) => !row.expired).sort((a, b) => Number(a.number) - Number(b.number));
}

/** How many a redrive may begin now: in no stretch of its length more than its rate allows. */
async function allowance({ schema, query }: LetterSession, { number, rate }: OpenRedrive): Promise<number> {
  if (rate === null) return Infinity;
  const most = Math.max(1, Math.floor(rate));
  const [row] = await query<{ count: number }>(
    `SELECT count(*)::int AS count FROM ${schema}.dead_letters
     WHERE redrive = $1::bigint AND claimed_at > clock_timestamp() - $2::float8 * interval '1 second'`,
    [number, most / rate],
  );
  return most - (row?.count ?? 0);
}

interface Search {
  readonly consumers: readonly string[];
  readonly limit: number;
}

/** Those whose process has not kept them: it is gone, or hangs. Of a redrive that was aborted, none is tried again. */
async function expired({ schema, query }: LetterSession, { consumers, limit }: Search): Promise<string[]> {
  await query(
    `WITH back AS (
       UPDATE ${schema}.dead_letters AS letter SET state = 'waiting'
       FROM ${schema}.redrives
       WHERE redrives.number = letter.redrive AND aborted_at IS NOT NULL
         AND state = 'running' AND claimed_until < clock_timestamp() AND consumer = ANY($1::text[])
       RETURNING letter.id, redrive, claimed_by
     )
     INSERT INTO ${schema}.dead_letter_actions (letter, action, redrive, done_by)
     SELECT id, 'aborted', redrive, claimed_by FROM back`,
    [consumers],
  );
  const rows = await query<{ id: string }>(
    `SELECT id FROM ${schema}.dead_letters
     WHERE state = 'running' AND claimed_until < clock_timestamp() AND consumer = ANY($1::text[])
     ORDER BY claimed_until LIMIT $2::int`,
    [consumers, limit],
  );
  return rows.map(({ id }) => id);
}

/** From line to line by index, and of each only its first, unless an earlier one has not ended. */
async function firstOfLines(
  { schema, query }: LetterSession,
  { redrive, consumers, limit }: Search & { readonly redrive: string },
): Promise<string[]> {
  const rows = await query<{ id: string }>(
    `WITH RECURSIVE first AS (
       SELECT NULL::text AS id, consumer, ''::bytea AS line, NULL::bigint AS position
       FROM unnest($2::text[]) AS c(consumer)
       UNION ALL
       SELECT further.id, further.consumer, further.line, further.position FROM first
       CROSS JOIN LATERAL (
         SELECT id, redrive, consumer, line, position FROM ${schema}.dead_letters
         WHERE state = 'requested' AND (redrive, consumer, line) > ($1::bigint, first.consumer, first.line)
         ORDER BY redrive, consumer, line, position LIMIT 1
       ) AS further
       WHERE further.redrive = $1::bigint AND further.consumer = first.consumer
     )
     SELECT id FROM first
     WHERE id IS NOT NULL
       AND position = (
         SELECT turn.position FROM ${schema}.dead_letters AS turn
         WHERE (turn.line, turn.position) >= (first.line, 0) AND turn.state IN ('requested', 'running')
         ORDER BY turn.line, turn.position LIMIT 1
       )
       AND (SELECT true FROM ${schema}.dead_letters AS running
            WHERE running.line = first.line AND running.state = 'running'
            ORDER BY running.claimed_until LIMIT 1) IS NULL
     LIMIT $3::int`,
    [redrive, consumers, limit],
  );
  return rows.map(({ id }) => id);
}

async function take({ schema, query }: LetterSession, picked: readonly string[], lease: Lease): Promise<LetterRow[]> {
  if (picked.length === 0) return [];
  return query<LetterRow>(
    `WITH few AS MATERIALIZED (
       SELECT id FROM (
         SELECT id, ${BYTES_BEFORE} AS before FROM ${schema}.dead_letters WHERE id = ANY($1::text[])
       ) AS letter WHERE before < ${MAX_BODY_BYTES}
     ),
     taken AS (
       UPDATE ${schema}.dead_letters AS letter
       SET state = 'running', claimed_by = $2, claimed_at = clock_timestamp(),
           claimed_until = clock_timestamp() + $3::float8 * interval '1 millisecond'
       FROM few
       WHERE letter.id = few.id
         AND (letter.state = 'requested' OR (letter.state = 'running' AND letter.claimed_until < clock_timestamp()))
       RETURNING letter.*
     )
     SELECT ${selected(schema)} FROM taken AS letter ORDER BY letter.position`,
    [picked, lease.by, lease.leaseMs],
  );
}

/** Returns those that still are the claimer's. */
export async function extendClaims(
  database: LetterDatabase,
  letters: readonly string[],
  lease: Lease,
): Promise<string[]> {
  if (letters.length === 0) return [];
  const rows = await database.transaction(({ schema, query }) =>
    query<{ id: string }>(
      `WITH kept AS (
         UPDATE ${schema}.dead_letters SET claimed_until = clock_timestamp() + $3::float8 * interval '1 millisecond'
         WHERE id = ANY($1::text[]) AND state = 'running' AND claimed_by = $2
         RETURNING id
       ) SELECT id FROM kept`,
      [letters.map(letterKey), lease.by, lease.leaseMs],
    ),
  );
  const kept = new Set(rows.map(({ id }) => id));
  return letters.filter((id) => kept.has(letterKey(id)));
}

/** Back to their redrive as if they had not been claimed, or to the operator who has aborted it. */
export async function releaseClaims(database: LetterDatabase, letters: readonly string[], by: string): Promise<void> {
  if (letters.length === 0) return;
  await database.transaction(async (session) => {
    const { schema, query } = session;
    // Held, so that none is given back to a redrive that is just being aborted.
    await query(
      `SELECT FROM ${schema}.redrives
       WHERE number IN (SELECT redrive FROM ${schema}.dead_letters WHERE id = ANY($1::text[])) ORDER BY number FOR SHARE`,
      [letters.map(letterKey)],
    );
    await giveBackClaims(session, letters.map(letterKey), by);
  });
}

async function giveBackClaims({ schema, query }: LetterSession, ids: readonly string[], by: string): Promise<void> {
  await query(
    `WITH back AS (
       UPDATE ${schema}.dead_letters AS letter
       SET state = CASE WHEN aborted_at IS NULL THEN 'requested' ELSE 'waiting' END,
           claimed_by = NULL, claimed_at = NULL, claimed_until = NULL
       FROM ${schema}.redrives
       WHERE redrives.number = letter.redrive AND letter.id = ANY($1::text[]) AND state = 'running' AND claimed_by = $2
       RETURNING letter.id, redrive, state
     )
     INSERT INTO ${schema}.dead_letter_actions (letter, action, redrive, done_by)
     SELECT id, 'aborted', redrive, $2 FROM back WHERE state = 'waiting'`,
    [ids, by],
  );
}

import type { LetterSession } from './typeorm-letter-database.js';
import { IS_OPEN } from './typeorm-letter-filter.js';

/**
 * Locks those of the lines that are held back, and returns them. What is looked at in a later statement then includes
 * everything that followed: nothing can follow any more until this transaction ends.
 */
export async function lockParkedLines({ schema, query }: LetterSession, lines: readonly Buffer[]): Promise<Buffer[]> {
  if (lines.length === 0) return [];
  const rows = await query<{ line: Buffer }>(
    `SELECT line FROM ${schema}.parked_keys WHERE line = ANY($1::bytea[]) ORDER BY line FOR UPDATE`,
    [lines],
  );
  return rows.map(({ line }) => line);
}

/** The redrive that goes on with what follows; one that was aborted leaves it to an operator. */
export type GoesOn = { readonly redrive: string } | 'waiting';

/** Locks the redrive against being aborted meanwhile. */
export async function goesOnIn({ schema, query }: LetterSession, redrive: string): Promise<GoesOn> {
  const rows = await query(
    `SELECT FROM ${schema}.redrives WHERE number = $1::bigint AND aborted_at IS NULL FOR SHARE`,
    [redrive],
  );
  return rows.length === 0 ? 'waiting' : { redrive };
}

/** The first of each of these locked lines takes its turn; a line with nobody left is let go. */
export async function advanceLines(
  { schema, query }: LetterSession,
  lines: readonly Buffer[],
  goesOn: GoesOn,
): Promise<void> {
  const state = goesOn === 'waiting' ? 'waiting' : 'requested';
  await query(
    `WITH line AS (
       SELECT parked.line, first.id, first.state
       FROM unnest($1::bytea[]) AS parked(line)
       LEFT JOIN LATERAL (
         SELECT id, line, state FROM ${schema}.dead_letters
         WHERE (line, position) >= (parked.line, 0) AND ${IS_OPEN}
         ORDER BY line, position LIMIT 1
       ) AS first ON first.line = parked.line
     ),
     free AS (
       DELETE FROM ${schema}.parked_keys USING line WHERE parked_keys.line = line.line AND line.id IS NULL
     ),
     advanced AS (
       UPDATE ${schema}.dead_letters AS letter
       SET state = '${state}', redrive = coalesce($2::bigint, redrive), claimed_at = NULL
       FROM line WHERE letter.id = line.id AND letter.state = 'following'
       RETURNING letter.id
     )
     INSERT INTO ${schema}.dead_letter_actions (letter, action, redrive)
     SELECT id, 'requested', $2::bigint FROM advanced WHERE $2::bigint IS NOT NULL`,
    [lines, goesOn === 'waiting' ? null : goesOn.redrive],
  );
}

/** What was requested of a locked line follows again: its first has failed anew. */
export async function holdLineBack({ schema, query }: LetterSession, line: Buffer): Promise<void> {
  await query(
    `WITH held AS (
       UPDATE ${schema}.dead_letters SET state = 'following'
       WHERE line = $1::bytea AND state = 'requested'
       RETURNING id, redrive
     )
     INSERT INTO ${schema}.dead_letter_actions (letter, action, redrive) SELECT id, 'aborted', redrive FROM held`,
    [line],
  );
}

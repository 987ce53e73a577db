import type { DeadLetter } from '../core/dead-letter.js';
import type { SettledClaim } from './dead-letter-store.js';
import type { LetterSession } from './typeorm-letter-database.js';
import { letterKey } from './typeorm-letter-identity.js';
import { failureFrom, LETTERS_INPUT, toColumns, toInput } from './typeorm-letter-rows.js';
import { advanceLines, goesOnIn, holdLineBack } from './typeorm-parked-lines.js';

interface Settled {
  readonly line: Buffer;
  readonly redrive: string;
}

/** Writes down what became of a claim, and lets go on what is held back behind it. */
export async function settleClaim(session: LetterSession, claim: SettledClaim, by: string): Promise<void> {
  const { schema, query } = session;
  const lines = await query<{ line: Buffer }>(
    `SELECT line FROM ${schema}.parked_keys
     WHERE line = (SELECT line FROM ${schema}.dead_letters WHERE id = $1) FOR UPDATE`,
    [letterKey(claim.letter)],
  );
  const settled = claim.result === 'failed' ? await fail(session, claim, by) : await finish(session, claim, by);
  if (settled === undefined || lines.length === 0) return;
  if (claim.result === 'failed') return holdLineBack(session, settled.line);
  await advanceLines(session, [settled.line], await goesOnIn(session, settled.redrive));
}

async function finish(
  { schema, query }: LetterSession,
  { letter, result }: SettledClaim,
  by: string,
): Promise<Settled | undefined> {
  const [settled] = await query<Settled>(
    `WITH settled AS (
       UPDATE ${schema}.dead_letters SET state = 'redriven', redrives = redrives + 1
       WHERE id = $1 AND state = 'running' AND claimed_by = $2
       RETURNING id, line, redrive
     ),
     logged AS (
       INSERT INTO ${schema}.dead_letter_actions (letter, action, redrive, done_by)
       SELECT id, $3, redrive, $2 FROM settled
     )
     SELECT line, redrive::text AS redrive FROM settled`,
    [letterKey(letter), by, result],
  );
  return settled;
}

/** It is waiting again. */
async function fail(
  { schema, query }: LetterSession,
  { letter, failure }: SettledClaim,
  by: string,
): Promise<Settled | undefined> {
  const [settled] = await query<Settled>(
    `WITH failure AS (SELECT * FROM ${LETTERS_INPUT}),
     settled AS (
       UPDATE ${schema}.dead_letters AS letter
       SET state = 'waiting', redrives = redrives + 1 ${failure === undefined ? '' : `, ${failureFrom('failure')}`}
       ${failure === undefined ? '' : 'FROM failure'}
       WHERE letter.id = $2 AND letter.state = 'running' AND letter.claimed_by = $3
       RETURNING letter.id, letter.line, letter.redrive, letter.error_code, letter.error_message
     ),
     logged AS (
       INSERT INTO ${schema}.dead_letter_actions (letter, action, redrive, done_by, error_code, error_message)
       SELECT id, 'failed', redrive, $3, error_code, error_message FROM settled
     )
     SELECT line, redrive::text AS redrive FROM settled`,
    [toInput(failure === undefined ? [] : [failureColumns(failure)]), letterKey(letter), by],
  );
  return settled;
}

/** Without the body, which stays as it is. */
function failureColumns(failure: DeadLetter): ReturnType<typeof toColumns> {
  return toColumns({ ...failure, original: { ...failure.original, body: null } });
}

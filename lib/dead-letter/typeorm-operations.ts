import type { DeadLetter } from '../core/dead-letter.js';
import { EventsError } from '../core/errors.js';
import { letterNotFound, wrongState } from './dead-letter-errors.js';
import type { DeadLetterCriteria, DeadLetterState, Operator, Redrive, RedriveRequest } from './dead-letter-store.js';
import type { LetterSession } from './typeorm-letter-database.js';
import { addFilter, Conditions } from './typeorm-letter-filter.js';
import { letterKey, letterKeyOf, storable } from './typeorm-letter-identity.js';
import { LETTER_COLUMNS, LETTER_VALUES, LETTERS_INPUT, toColumns, toInput } from './typeorm-letter-rows.js';
import { advanceLines, lockParkedLines } from './typeorm-parked-lines.js';
import { beginRedrive, redriveOf } from './typeorm-redrives.js';

/** Done with, without an effect. What is held back behind one goes on, in a redrive of this operator's. */
export async function discardLetters(
  session: LetterSession,
  filter: DeadLetterCriteria,
  operator: Operator,
): Promise<number> {
  const { schema, query } = session;
  const conditions = addFilter(new Conditions(storable(operator.by), noteOf(operator)), filter);
  if (filter.state !== undefined) conditions.add('state = ANY(?::text[])', [filter.state].flat());
  const [discarded] = await query<{ count: number; lines: Buffer[] | null }>(
    `WITH found AS (
       SELECT id FROM ${schema}.dead_letters WHERE state = 'waiting' AND ${conditions.sql} ORDER BY position FOR UPDATE
     ),
     discarded AS (
       UPDATE ${schema}.dead_letters AS letter SET state = 'discarded'
       FROM found WHERE letter.id = found.id
       RETURNING letter.id, letter.line, letter.position
     ),
     logged AS (
       INSERT INTO ${schema}.dead_letter_actions (letter, action, done_by, note)
       SELECT id, 'discarded', $1, $2 FROM discarded ORDER BY position
     )
     SELECT count(*)::int AS count, array_agg(DISTINCT line) FILTER (
       WHERE EXISTS (SELECT FROM ${schema}.parked_keys WHERE parked_keys.line = discarded.line)
     ) AS lines
     FROM discarded`,
    conditions.parameters,
  );
  const lines = await lockParkedLines(session, discarded?.lines ?? []);
  if (lines.length > 0) await advanceLines(session, lines, { redrive: await beginRedrive(session, operator) });
  return discarded?.count ?? 0;
}

/** Puts an edited event in the place of a waiting one, also in its line, and requests it. */
export async function replaceLetter(
  session: LetterSession,
  id: string,
  { edited, request }: { readonly edited: DeadLetter; readonly request: RedriveRequest },
): Promise<Redrive> {
  const { schema, query } = session;
  const [old] = await query<{ position: string; line: Buffer; state: DeadLetterState }>(
    `SELECT position::text AS position, line, state FROM ${schema}.dead_letters WHERE id = $1 FOR UPDATE`,
    [letterKey(id)],
  );
  if (old === undefined) throw letterNotFound(id);
  if (old.state !== 'waiting') throw wrongState({ id, state: old.state });
  const number = await beginRedrive(session, request);
  const input = { ...toColumns(edited), line: `\\x${old.line.toString('hex')}` };
  const written = await query(
    `WITH written AS (
       INSERT INTO ${schema}.dead_letters (${LETTER_COLUMNS}, position, state, redrive, replaces)
       SELECT ${LETTER_VALUES}, $2::bigint, 'requested', $3::bigint, $4 FROM ${LETTERS_INPUT}
       ON CONFLICT DO NOTHING RETURNING id
     ),
     replaced AS (
       UPDATE ${schema}.dead_letters AS letter SET state = 'replaced', position = DEFAULT, replaced_by = written.id
       FROM written WHERE letter.id = $4
     )
     INSERT INTO ${schema}.dead_letter_actions (letter, action, redrive)
     SELECT done.letter, done.action, $3::bigint
     FROM written CROSS JOIN LATERAL (VALUES ($4, 'replaced'), (written.id, 'requested')) AS done(letter, action)
     RETURNING 1`,
    [toInput([input]), old.position, number, letterKey(id)],
  );
  if (written.length === 0) throw idTaken(letterKeyOf(edited));
  return redriveOf(session, 'number', number) as Promise<Redrive>;
}

const noteOf = ({ note }: Operator): string | null => (note === undefined ? null : storable(note));

function idTaken(id: string): EventsError {
  return new EventsError('EVENTS_DEAD_LETTER_STATE', `there is a dead letter ${JSON.stringify(id)} already`, {
    remedy: 'Give the edited event an id of its own.',
  });
}

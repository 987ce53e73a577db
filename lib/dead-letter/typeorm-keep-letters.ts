import type { DeadLetter } from '../core/dead-letter.js';
import type { LetterDatabase, LetterSession } from './typeorm-letter-database.js';
import { IS_OPEN } from './typeorm-letter-filter.js';
import { consumerOf, letterKeyOf, lineOf } from './typeorm-letter-identity.js';
import {
  failureFrom,
  LETTER_COLUMNS,
  LETTER_VALUES,
  LETTERS_INPUT,
  toColumns,
  toInput,
} from './typeorm-letter-rows.js';

/** What one statement writes: rows, and bytes of their bodies. */
const MAX_ROWS = 500;
const MAX_BYTES = 8_000_000;

interface Keeping {
  readonly state: 'waiting' | 'following';
  /** When one that is there already, as `kept`, is changed. */
  readonly changes: string;
  /** FROM items the rows depend on. */
  readonly given?: { readonly with: string; readonly from: string };
}

const IS_DONE = `NOT (kept.${IS_OPEN})`;
/** A collector may read one twice: only a later failure is news. */
const NEWS = 'EXCLUDED.last_failure_at > kept.last_failure_at';

/** Keeps what landed with a broker. */
export async function addLetters(database: LetterDatabase, letters: readonly DeadLetter[]): Promise<void> {
  for (const chunk of chunks(distinct(letters))) {
    const input = toInput(chunk.map(toColumns));
    await database.transaction((session) => session.query(keep(session, { state: 'waiting', changes: NEWS }), [input]));
  }
}

/** Keeps the letter and holds its key back. */
export async function parkLetter(database: LetterDatabase, letter: DeadLetter): Promise<void> {
  const { key } = letter.original;
  const input = toInput([toColumns(letter)]);
  await database.transaction(async (session) => {
    if (key !== undefined) {
      // Also when it is there: the lock makes it wait for whoever is about to let the key go.
      await session.query(
        `INSERT INTO ${session.schema}.parked_keys AS parked (line, consumer, key) VALUES ($1::bytea, $2, $3::bytea)
         ON CONFLICT (line) DO UPDATE SET since = parked.since`,
        [lineOf(letter), consumerOf(letter), Buffer.from(key)],
      );
    }
    const changes = `${IS_DONE} AND EXCLUDED.last_failure_at <> kept.last_failure_at`;
    await session.query(keep(session, { state: 'waiting', changes }), [input]);
  });
}

/** Keeps the letter behind those of its key, if that is held back. */
export async function followLetter(database: LetterDatabase, letter: DeadLetter): Promise<boolean> {
  if (letter.original.key === undefined) return false;
  const line = lineOf(letter);
  const isParked = await database.read(({ query, schema }) =>
    query(`SELECT FROM ${schema}.parked_keys WHERE line = $1::bytea`, [line]),
  );
  if (isParked.length === 0) return false;
  const input = toInput([toColumns(letter)]);
  return database.transaction(async (session) => {
    // Held until the letter is committed: who lets the key go waits for this lock and then looks for what follows.
    const given = {
      with: `parked AS MATERIALIZED (SELECT line FROM ${session.schema}.parked_keys WHERE line = $2::bytea FOR SHARE),`,
      from: 'CROSS JOIN parked',
    };
    const [kept] = await session.query<{ parked: boolean }>(
      keep(session, { state: 'following', changes: IS_DONE, given }, 'EXISTS (SELECT FROM parked) AS parked'),
      [input, line],
    );
    return kept?.parked === true;
  });
}

/**
 * Writes letters in their order. Of one that is open only the failure changes; one that is done with begins anew, at the
 * end of its line. Both only where `changes` says so.
 */
function keep({ schema }: LetterSession, { state, changes, given }: Keeping, result = '1 AS done'): string {
  return `WITH ${given?.with ?? ''}
     kept AS (
       INSERT INTO ${schema}.dead_letters AS kept (${LETTER_COLUMNS}, state)
       SELECT ${LETTER_VALUES}, '${state}' FROM ${LETTERS_INPUT} ${given?.from ?? ''} ORDER BY l.ordinal
       ON CONFLICT (id) DO UPDATE SET
         ${failureFrom('EXCLUDED')},
         state = CASE WHEN kept.${IS_OPEN} THEN kept.state ELSE EXCLUDED.state END,
         position = CASE WHEN kept.${IS_OPEN} THEN kept.position ELSE EXCLUDED.position END,
         stored_at = CASE WHEN kept.${IS_OPEN} THEN kept.stored_at ELSE EXCLUDED.stored_at END
       WHERE ${changes}
       RETURNING id, stored_at >= statement_timestamp() AS stored
     ),
     logged AS (
       INSERT INTO ${schema}.dead_letter_actions (letter, action) SELECT id, 'stored' FROM kept WHERE stored
     )
     SELECT ${result}`;
}

/** The latest of those with one id. */
function distinct(letters: readonly DeadLetter[]): DeadLetter[] {
  const byId = new Map<string, DeadLetter>();
  for (const letter of letters) {
    const other = byId.get(letterKeyOf(letter));
    if (other === undefined || letter.lastFailureAt > other.lastFailureAt) byId.set(letterKeyOf(letter), letter);
  }
  return [...byId.values()];
}

function* chunks(letters: readonly DeadLetter[]): Generator<readonly DeadLetter[], void> {
  let chunk: DeadLetter[] = [];
  let bytes = 0;
  for (const letter of letters) {
    chunk.push(letter);
    bytes += letter.original.body?.byteLength ?? 0;
    if (chunk.length < MAX_ROWS && bytes < MAX_BYTES) continue;
    yield chunk;
    chunk = [];
    bytes = 0;
  }
  if (chunk.length > 0) yield chunk;
}

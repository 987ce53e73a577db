import type {
  DeadLetterAction,
  DeadLetterCriteria,
  DeadLetterPage,
  DeadLetterPageRequest,
  StoredDeadLetter,
} from './dead-letter-store.js';
import type { LetterSession } from './typeorm-letter-database.js';
import { addFilter, addStates, Conditions } from './typeorm-letter-filter.js';
import { letterKey } from './typeorm-letter-identity.js';
import { keysetOf } from './typeorm-letter-pages.js';
import { given, rfc3339, selected, toStored, type LetterRow } from './typeorm-letter-rows.js';

/** Bodies of one page, or of one claim. One is always read. */
export const MAX_BODY_BYTES = 16_000_000;

export async function listLetters(
  { schema, query }: LetterSession,
  filter: DeadLetterCriteria,
  page: DeadLetterPageRequest,
): Promise<DeadLetterPage> {
  const { limit, after } = keysetOf(page);
  const conditions = addFilter(addStates(new Conditions(limit + 1, after), filter.state), filter);
  // Lengths first: a page of large bodies is shorter.
  const rows = await query<LetterRow & { found: number }>(
    `SELECT ${selected(schema)}, found
     FROM (
       SELECT id, ${BYTES_BEFORE} AS before, count(*) OVER ()::int AS found
       FROM (
         SELECT id, position, body FROM ${schema}.dead_letters
         WHERE position > $2::bigint AND ${conditions.sql}
         ORDER BY position LIMIT $1::int
       ) AS one_more
     ) AS page
     JOIN ${schema}.dead_letters AS letter USING (id)
     WHERE before < ${MAX_BODY_BYTES}
     ORDER BY letter.position`,
    conditions.parameters,
  );
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const items = shown.map(toStored);
  return last === undefined || last.found === shown.length ? { items } : { items, next: last.position };
}

/** Of the rows before it. */
export const BYTES_BEFORE =
  'sum(coalesce(octet_length(body), 0)) OVER (ORDER BY position) - coalesce(octet_length(body), 0)';

export async function countLetters({ schema, query }: LetterSession, filter: DeadLetterCriteria): Promise<number> {
  const conditions = addFilter(addStates(new Conditions(), filter.state), filter);
  const [row] = await query<{ count: number }>(
    `SELECT count(*)::float8 AS count FROM ${schema}.dead_letters WHERE ${conditions.sql}`,
    conditions.parameters,
  );
  return row?.count ?? 0;
}

export async function getLetter({ schema, query }: LetterSession, id: string): Promise<StoredDeadLetter | undefined> {
  const [row] = await query<LetterRow>(
    `SELECT ${selected(schema)} FROM ${schema}.dead_letters AS letter WHERE id = $1`,
    [letterKey(id)],
  );
  return row && toStored(row);
}

interface ActionRow {
  readonly at: string;
  readonly action: string;
  readonly done_by: string;
  readonly note: string | null;
  readonly redrive_id: string | null;
  readonly error_code: string | null;
  readonly error_message: string | null;
}

/** What was done about one dead letter. Who requested it, and why, is said by its redrive. */
export async function historyOf({ schema, query }: LetterSession, id: string): Promise<DeadLetterAction[]> {
  const rows = await query<ActionRow>(
    `SELECT ${rfc3339('action.at')} AS at, action, coalesce(done_by, requested_by, '') AS done_by,
            CASE WHEN done_by IS NULL THEN redrives.note ELSE action.note END AS note,
            redrives.id AS redrive_id, error_code, error_message
     FROM ${schema}.dead_letter_actions AS action
     LEFT JOIN ${schema}.redrives ON redrives.number = action.redrive
     WHERE letter = $1 ORDER BY action.number`,
    [letterKey(id)],
  );
  return rows.map((row) => ({
    at: row.at,
    action: row.action as DeadLetterAction['action'],
    by: row.done_by,
    ...given('note', row.note),
    ...given('redriveId', row.redrive_id),
    ...errorOf(row),
  }));
}

/** The error of a redrive that failed. */
export function errorOf({
  error_code: code,
  error_message: message,
}: Pick<ActionRow, 'error_code' | 'error_message'>): {
  error?: { code: string; message: string };
} {
  return code === null ? {} : { error: { code, message: message ?? '' } };
}

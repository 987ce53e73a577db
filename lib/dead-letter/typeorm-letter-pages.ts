import { EventsError } from '../core/errors.js';
import type { DeadLetterPageRequest } from './dead-letter-store.js';

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1_000;

export interface Keyset {
  readonly limit: number;
  /** The number of the last row of the page before; '0' for the first page. */
  readonly after: string;
}

/** Throws EVENTS_DEAD_LETTER_INVALID. */
export function keysetOf({ limit = DEFAULT_LIMIT, after = '0' }: DeadLetterPageRequest): Keyset {
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
    throw invalid(`limit: ${limit}`, `Ask for 1 to ${MAX_LIMIT} at a time.`);
  }
  if (!/^\d{1,18}$/.test(after)) throw invalid('after', 'Use the `next` of the page before.');
  return { limit, after };
}

/** The page out of rows of which one more than asked for was read. */
export function pageOf<Row, Item>(
  rows: readonly Row[],
  limit: number,
  of: { readonly item: (row: Row) => Item; readonly number: (row: Row) => string },
): { items: Item[]; next?: string } {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const items = shown.map(of.item);
  return last === undefined || rows.length <= limit ? { items } : { items, next: of.number(last) };
}

function invalid(what: string, remedy: string): EventsError {
  return new EventsError('EVENTS_DEAD_LETTER_INVALID', `the page of dead letters asked for is none: ${what}`, {
    remedy,
  });
}

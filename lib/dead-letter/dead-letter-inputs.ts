import { DEAD_LETTER_REASONS } from '../core/dead-letter.js';
import { EventsError, messageOf } from '../core/errors.js';
import { assertEventPattern } from '../core/event-name.js';
import type { DeadLetterCriteria, DeadLetterPageRequest, Operator, RedriveRequest } from './dead-letter-store.js';

/** Which dead letters: one by its id, some by theirs, or all that match. */
export type DeadLetterSelection = string | readonly string[] | DeadLetterCriteria;

const FILTERS = new Set<string>([
  'ids',
  'group',
  'handler',
  'event',
  'eventId',
  'key',
  'error',
  'reason',
  'transport',
  'state',
  'from',
  'to',
] satisfies (keyof DeadLetterCriteria)[]);
const TEXTS = ['group', 'handler', 'event', 'eventId', 'key', 'error', 'transport'] as const;
const STATES = ['waiting', 'following', 'requested', 'running', 'redriven', 'discarded', 'replaced'];
const MAX_IDS = 10_000;
const MAX_PAGE = 1_000;
const MAX_NAME = 200;
const MAX_NOTE = 2_000;

/** A filter that is misspelt must not select everything. Throws EVENTS_DEAD_LETTER_INVALID. */
export function checkFilter(filter: DeadLetterCriteria): DeadLetterCriteria {
  if (!isObject(filter)) throw invalid('the filter is not an object like { handler: "confirmation-email" }');
  const unknown = Object.keys(filter).find((name) => !FILTERS.has(name));
  if (unknown !== undefined) {
    throw invalid(`the filter has no field ${JSON.stringify(unknown)} (known are ${[...FILTERS].join(', ')})`);
  }
  for (const name of TEXTS) checkText(filter[name], `filter.${name}`);
  if (filter.event !== undefined) checkPattern(filter.event);
  if (filter.ids !== undefined) checkIds(filter.ids);
  if (filter.reason !== undefined) checkOneOf(filter.reason, DEAD_LETTER_REASONS, 'filter.reason');
  for (const state of [filter.state ?? []].flat()) checkOneOf(state, STATES, 'filter.state');
  checkTime(filter.from, 'filter.from');
  checkTime(filter.to, 'filter.to');
  return filter;
}

/** Throws EVENTS_DEAD_LETTER_INVALID. */
export function filterOf(selection: DeadLetterSelection): DeadLetterCriteria {
  if (typeof selection === 'string') return { ids: checkIds([selection]) };
  if (isList(selection)) return { ids: checkIds(selection) };
  return checkFilter(selection);
}

/** Throws EVENTS_DEAD_LETTER_INVALID. */
export function checkPage(page: DeadLetterPageRequest): DeadLetterPageRequest {
  if (!isObject(page)) throw invalid('the page is not an object like { limit: 100, after: next }');
  const { limit = 1, after } = page;
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_PAGE) {
    throw invalid(`page.limit is not a whole number from 1 to ${MAX_PAGE}`);
  }
  checkText(after, 'page.after');
  return page;
}

/** Who asks is kept in the audit: it is not left out. Throws EVENTS_DEAD_LETTER_INVALID. */
export function checkOperator<T extends Operator>(operator: T): T {
  const { by, note } = isObject(operator) ? operator : {};
  if (typeof by !== 'string' || by.trim() === '' || by.length > MAX_NAME) {
    throw invalid(`"by" does not say who asks, in 1 to ${MAX_NAME} characters`);
  }
  checkText(by, 'by');
  checkText(note, 'note');
  if ((note?.length ?? 0) > MAX_NOTE) throw invalid(`"note" is longer than ${MAX_NOTE} characters`);
  return operator;
}

/** Throws EVENTS_DEAD_LETTER_INVALID. */
export function checkRequest(request: RedriveRequest): RedriveRequest {
  const { by, note, ratePerSecond } = checkOperator(request);
  if (ratePerSecond !== undefined && !(Number.isFinite(ratePerSecond) && ratePerSecond > 0)) {
    throw invalid('"ratePerSecond" is not a number above 0');
  }
  return { by, ...(note === undefined ? {} : { note }), ...(ratePerSecond === undefined ? {} : { ratePerSecond }) };
}

/** Throws EVENTS_DEAD_LETTER_INVALID. */
export function checkId(id: string, what: string): string {
  if (typeof id !== 'string' || id === '') throw invalid(`${what} is not an id`);
  checkText(id, what);
  return id;
}

export function invalid(problem: string, cause?: unknown): EventsError {
  return new EventsError('EVENTS_DEAD_LETTER_INVALID', problem, {
    cause,
    remedy: 'Correct what was given to DeadLetterService.',
  });
}

function checkIds(ids: readonly string[]): readonly string[] {
  if (!isList(ids) || ids.length === 0 || ids.length > MAX_IDS) {
    throw invalid(`the ids are not a list of 1 to ${MAX_IDS}`);
  }
  return ids.map((id) => checkId(id, 'one of the ids'));
}

/** PostgreSQL has no U+0000, and no half characters. */
function checkText(value: unknown, name: string): void {
  if (value === undefined) return;
  if (typeof value !== 'string' || value.includes('\u0000') || !value.isWellFormed()) {
    throw invalid(`${name} is not a text`);
  }
}

function checkPattern(pattern: string): void {
  try {
    assertEventPattern(pattern);
  } catch (error) {
    throw invalid(`filter.event: ${messageOf(error)}`, error);
  }
}

function checkOneOf(value: string, known: readonly string[], name: string): void {
  if (!known.includes(value)) throw invalid(`${name} is none of ${known.join(', ')}`);
}

function checkTime(value: unknown, name: string): void {
  if (value === undefined) return;
  const time = value instanceof Date || typeof value === 'string' ? new Date(value).getTime() : NaN;
  if (Number.isNaN(time)) throw invalid(`${name} is neither a Date nor a time like 2026-01-31T12:00:00Z`);
}

function isObject(value: unknown): value is Record<string, never> {
  return typeof value === 'object' && value !== null && !isList(value);
}

function isList(value: unknown): value is readonly string[] {
  return Array.isArray(value);
}

import { hasWildcard } from '../core/event-name.js';
import type { DeadLetterCriteria, DeadLetterState } from './dead-letter-store.js';
import { letterKey, storable, indexed } from './typeorm-letter-identity.js';

/** Not done with. */
export const OPEN_STATES: readonly DeadLetterState[] = ['waiting', 'following', 'requested', 'running'];
/** In the words of the indices' predicates. */
export const IS_OPEN = `state IN (${OPEN_STATES.map((state) => `'${state}'`).join(', ')})`;

/** Conditions on a row of `dead_letters`, and their parameters. */
export class Conditions {
  readonly #conditions: string[] = [];
  readonly parameters: unknown[];

  constructor(...parameters: readonly unknown[]) {
    this.parameters = [...parameters];
  }

  /** `?` in the condition stands for the value. */
  add(condition: string, value: unknown): this {
    this.parameters.push(value);
    return this.addFixed(condition.replaceAll('?', `$${this.parameters.length}`));
  }

  addFixed(condition: string): this {
    this.#conditions.push(condition);
    return this;
  }

  get sql(): string {
    return this.#conditions.length === 0 ? 'true' : this.#conditions.join(' AND ');
  }
}

/** What a filter asks for besides the state. */
export function addFilter(conditions: Conditions, filter: DeadLetterCriteria): Conditions {
  const { ids, group, handler, event, eventId, key, error, reason, transport, from, to } = filter;
  const when = <T>(value: T | undefined, condition: string, parameter: (value: T) => unknown): void => {
    if (value !== undefined) conditions.add(condition, parameter(value));
  };
  when(ids, 'id = ANY(?::text[])', (values) => values.map(letterKey));
  when(group, 'event_group = ?', indexed);
  when(handler, 'handler = ?', indexed);
  if (event !== undefined && hasWildcard(event)) conditions.add(`'.' || event ~ ?`, patternToRegex(event));
  else when(event, 'event = ?', storable);
  when(eventId, 'hashtextextended(event_id, 0) = hashtextextended(?, 0) AND event_id = ?', storable);
  when(key, 'sha256(key) = sha256(?::bytea)', (text) => Buffer.from(text, 'utf8'));
  when(error, '(error_code = ? OR error_class = ?)', storable);
  when(reason, 'reason = ?', storable);
  when(transport, 'transport = ?', storable);
  when(from, 'last_failure_at >= ?::timestamptz', instant);
  when(to, 'last_failure_at < ?::timestamptz', instant);
  return conditions;
}

/** Those that are not done with, unless the filter says which. */
export function addStates(conditions: Conditions, state: DeadLetterCriteria['state']): Conditions {
  if (state === undefined) return conditions.addFixed(IS_OPEN);
  return conditions.add('state = ANY(?::text[])', typeof state === 'string' ? [state] : state);
}

/** An event pattern as a regular expression over a name with a dot before it: each word then begins with one. */
export function patternToRegex(pattern: string): string {
  const words = pattern.split('.').map((word) => {
    if (word === '#') return '(\\.[^.]*)*';
    return word === '*' ? '\\.[^.]*' : `\\.${word.replaceAll(/[^A-Za-z0-9_]/gu, '\\$&')}`;
  });
  return `^${words.join('')}$`;
}

const instant = (time: Date | string): string => new Date(time).toISOString();

import { EventsError } from './errors.js';

/** Names and patterns end up as AMQP routing keys, which are short strings. */
const MAX_NAME_BYTES = 255;
const WORD = /^[A-Za-z0-9_-]+$/;
/** Last words that name places of our own: `<group>.dlq`, retry and reply topics. */
const RESERVED = new Set(['dlq', 'retry', 'reply']);

/** `<domain>.<entity>.<event>`, one word or more, of letters, digits, `_` and `-`. Throws EVENTS_NAME_INVALID. */
export function assertEventName(name: string): void {
  const problem = nameProblem(name);
  if (problem !== undefined) {
    throw new EventsError('EVENTS_NAME_INVALID', `${JSON.stringify(name)} is not an event name: ${problem}`, {
      remedy: 'Use words of letters, digits, "_" and "-" joined by dots, like "orders.order.placed".',
    });
  }
}

/** An event name in which `*` stands for one word and `#` for zero or more. Throws EVENTS_PATTERN_INVALID. */
export function assertEventPattern(pattern: string): void {
  const problem = patternProblem(pattern);
  if (problem !== undefined) {
    throw new EventsError('EVENTS_PATTERN_INVALID', `${JSON.stringify(pattern)} is not an event pattern: ${problem}`, {
      remedy: 'Use an event name in which "*" stands for one word and "#" for any number, like "orders.*.placed".',
    });
  }
}

export function hasWildcard(pattern: string): boolean {
  return /[*#]/.test(pattern);
}

/** Whether an AMQP topic pattern matches a name. For one pattern; for many use {@link PatternTrie}. */
export function matchesPattern(pattern: string, name: string): boolean {
  return new PatternTrie<true>().add(pattern, true).match(name).length > 0;
}

interface TrieNode<T> {
  readonly children: Map<string, TrieNode<T>>;
  readonly values: Set<T>;
  /** `#` swallows any number of words, so a walk that has reached it may stay. */
  readonly repeats: boolean;
}

/**
 * Patterns by their words. A name walks it once, in all places it can be at the same time, so the cost depends on the
 * words of the name and the patterns that still can match, never on the number of patterns held.
 */
export class PatternTrie<T> {
  readonly #root = node<T>(false);

  add(pattern: string, value: T): this {
    let at = this.#root;
    for (const word of pattern.split('.')) {
      let next = at.children.get(word);
      if (next === undefined) at.children.set(word, (next = node<T>(word === '#')));
      at = next;
    }
    at.values.add(value);
    return this;
  }

  /** The values of all patterns that match, each once. */
  match(name: string): T[] {
    let places = reach(new Set([this.#root]));
    for (const word of name.split('.')) {
      const next = new Set<TrieNode<T>>();
      for (const place of places) {
        const exact = place.children.get(word);
        if (exact !== undefined) next.add(exact);
        const any = place.children.get('*');
        if (any !== undefined) next.add(any);
        if (place.repeats) next.add(place);
      }
      if (next.size === 0) return [];
      places = reach(next);
    }
    const found = new Set<T>();
    for (const place of places) for (const value of place.values) found.add(value);
    return [...found];
  }
}

function node<T>(repeats: boolean): TrieNode<T> {
  return { children: new Map(), values: new Set(), repeats };
}

/** `#` also matches no word at all: whoever stands before it stands behind it too. A Set visits what is added meanwhile. */
function reach<T>(places: Set<TrieNode<T>>): Set<TrieNode<T>> {
  for (const place of places) {
    const many = place.children.get('#');
    if (many !== undefined) places.add(many);
  }
  return places;
}

const nameProblem = (name: string): string | undefined => problemOf(name, (word) => WORD.test(word));

const patternProblem = (pattern: string): string | undefined =>
  problemOf(pattern, (word) => word === '*' || word === '#' || WORD.test(word));

function problemOf(text: unknown, allowed: (word: string) => boolean): string | undefined {
  if (typeof text !== 'string') return 'it is not a string';
  if (text === '') return 'it is empty';
  if (Buffer.byteLength(text) > MAX_NAME_BYTES) return `it is longer than ${MAX_NAME_BYTES} bytes`;
  const words = text.split('.');
  const bad = words.find((word) => !allowed(word));
  if (bad !== undefined) return bad === '' ? 'it has an empty word' : `the word ${JSON.stringify(bad)} is not allowed`;
  const last = words.at(-1) ?? '';
  return RESERVED.has(last) ? `a last word "${last}" is reserved` : undefined;
}

import { describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { isEventsError } from './errors.js';
import { assertEventName, assertEventPattern, hasWildcard, matchesPattern, PatternTrie } from './event-name.js';

/** AMQP's definition, read aloud: slow, and plainly right. */
function naiveMatch(pattern: readonly string[], name: readonly string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return name.length === 0;
  if (first === '#') return naiveMatch(rest, name) || (name.length > 0 && naiveMatch(pattern, name.slice(1)));
  return name.length > 0 && (first === '*' || first === name[0]) && naiveMatch(rest, name.slice(1));
}

const words = fc.constantFrom('a', 'b', 'c');
const names = fc.array(words, { minLength: 1, maxLength: 6 });
const patterns = fc.array(fc.oneof(words, fc.constantFrom('*', '#', '#')), { minLength: 1, maxLength: 6 });

describe('PatternTrie', () => {
  it('finds exactly the patterns that AMQP would match', () => {
    fc.assert(
      fc.property(fc.array(patterns, { maxLength: 25 }), names, (held, name) => {
        const trie = new PatternTrie<number>();
        held.forEach((pattern, index) => trie.add(pattern.join('.'), index));
        const expected = held.flatMap((pattern, index) => (naiveMatch(pattern, name) ? [index] : []));
        expect(trie.match(name.join('.')).sort((a, b) => a - b)).toEqual(expected);
      }),
      { numRuns: 2_000 },
    );
  });

  it('gives a value once, however many of its patterns match', () => {
    fc.assert(
      fc.property(fc.array(patterns, { minLength: 1, maxLength: 10 }), names, (held, name) => {
        const trie = new PatternTrie<string>();
        for (const pattern of held) trie.add(pattern.join('.'), 'one').add('#', 'all').add('#.#', 'all');
        const found = trie.match(name.join('.'));
        expect(found.filter((value) => value === 'all')).toEqual(['all']);
        expect(new Set(found).size).toBe(found.length);
      }),
    );
  });

  it.each([
    ['#', 'orders', true],
    ['#.#', 'orders', true],
    ['#.#', 'orders.order.placed', true],
    ['*', 'orders', true],
    ['*', 'orders.order', false],
    ['*.#', 'orders', true],
    ['#.*', 'orders', true],
    ['*.*', 'orders', false],
    ['orders.#', 'orders', true],
    ['orders.#', 'orders.order.placed', true],
    ['orders.*.placed', 'orders.order.placed', true],
    ['orders.*.placed', 'orders.placed', false],
    ['orders.#.placed', 'orders.placed', true],
    ['orders.order.placed', 'orders.order.placed', true],
    ['orders.order.placed', 'orders.order.Placed', false],
    ['orders.order', 'orders.order.placed', false],
    ['orders.order.placed', 'orders.order', false],
    ['#.a.#.a', 'a.b.a', true],
    ['#.a.#.a', 'a.b', false],
    ['constructor', '__proto__', false],
  ])('pattern %s and name %s: %s', (pattern, name, expected) => {
    expect(matchesPattern(pattern, name)).toBe(expected);
  });

  it('takes steps in proportion to the name, also for patterns that could match in countless ways', () => {
    const length = 120;
    const pattern = [...Array.from({ length: 20 }, () => '#'), 'a'].join('.');
    const trie = new PatternTrie<true>().add(pattern, true).add('#.a.#.a.#.a.#.a', true);
    const nodes = 21 + 7;
    const add = jest.spyOn(Set.prototype, 'add');
    try {
      expect(trie.match([...Array.from({ length }, () => 'a'), 'b'].join('.'))).toEqual([]);
      // Each word visits each node of the trie at most once, and offers each visited node's few neighbours to a set.
      expect(add.mock.calls.length).toBeGreaterThan(length);
      expect(add.mock.calls.length).toBeLessThanOrEqual((length + 2) * nodes * 4);
    } finally {
      add.mockRestore();
    }
  });

  it('takes the same steps however many other patterns are held', () => {
    const steps = (others: number): number => {
      const trie = new PatternTrie<number>().add('orders.*.placed', -1);
      for (let index = 0; index < others; index++)
        trie.add(`orders.entity${index}.placed`, index).add(`d${index}.#`, index);
      const add = jest.spyOn(Set.prototype, 'add');
      try {
        expect(trie.match('orders.order.placed')).toEqual([-1]);
        return add.mock.calls.length;
      } finally {
        add.mockRestore();
      }
    };
    expect(steps(10_000)).toBe(steps(0));
  });
});

const LONGEST = `${'a'.repeat(127)}.${'b'.repeat(127)}`;

describe('event names', () => {
  it.each(['orders', 'orders.order.placed', 'a.b.c.d.e', 'Order_Item.v-2.9', 'dlq.x', 'retry.reply.done', LONGEST])(
    'accepts %j',
    (name) => expect(() => assertEventName(name)).not.toThrow(),
  );

  it.each([
    ['', 'it is empty'],
    ['.', 'it has an empty word'],
    ['orders.', 'it has an empty word'],
    ['.orders', 'it has an empty word'],
    ['orders..placed', 'it has an empty word'],
    ['orders order', 'the word "orders order" is not allowed'],
    ['orders.placed\n', 'the word "placed\\n" is not allowed'],
    ['orders.*', 'the word "*" is not allowed'],
    ['orders.#', 'the word "#" is not allowed'],
    ['bestellung.größe', 'the word "größe" is not allowed'],
    ['a/b', 'the word "a/b" is not allowed'],
    ['shop.dlq', 'a last word "dlq" is reserved'],
    ['shop.retry', 'a last word "retry" is reserved'],
    ['reply', 'a last word "reply" is reserved'],
    [`${LONGEST}c`, 'it is longer than 255 bytes'],
    [undefined, 'it is not a string'],
    [null, 'it is not a string'],
    [42, 'it is not a string'],
  ])('refuses %j because %s', (name, problem) => {
    const error = thrown(() => assertEventName(name as string));
    expect(isEventsError(error, 'EVENTS_NAME_INVALID')).toBe(true);
    expect((error as Error).message).toContain(
      `${JSON.stringify(name)} is not an event name: ${problem}. Use words of`,
    );
  });
});

describe('event patterns', () => {
  it.each(['#', '*', '#.#', 'orders.*.placed', 'orders.#', '#.placed', 'orders.order.placed', 'dlq.*'])(
    'accepts %j',
    (pattern) => expect(() => assertEventPattern(pattern)).not.toThrow(),
  );

  it.each([
    ['', 'it is empty'],
    ['orders.*placed', 'the word "*placed" is not allowed'],
    ['orders.##', 'the word "##" is not allowed'],
    ['orders..#', 'it has an empty word'],
    ['#.dlq', 'a last word "dlq" is reserved'],
    [/orders/, 'it is not a string'],
  ])('refuses %j because %s', (pattern, problem) => {
    const error = thrown(() => assertEventPattern(pattern as string));
    expect(isEventsError(error, 'EVENTS_PATTERN_INVALID')).toBe(true);
    expect((error as Error).message).toContain(`is not an event pattern: ${problem}. Use an event name`);
  });

  it('knows which patterns are plain names', () => {
    expect(['orders.order', 'orders.*', '#', 'a.#.b'].map(hasWildcard)).toEqual([false, true, true, true]);
  });
});

function thrown(work: () => void): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { matchesPattern } from '../core/event-name.js';
import { addFilter, Conditions, patternToRegex } from './typeorm-letter-filter.js';

test('a pattern as a regular expression matches the names that the pattern matches', () => {
  const words = (word: fc.Arbitrary<string>): fc.Arbitrary<string> =>
    fc.array(word, { minLength: 1, maxLength: 5 }).map((each) => each.join('.'));
  const pattern = words(fc.constantFrom('a', 'b-c', 'd_', '*', '#'));
  const event = words(fc.constantFrom('a', 'b-c', 'd_', 'bxc', '', '$', '(', '\n', '*'));
  fc.assert(
    fc.property(pattern, event, (one, name) => {
      expect(new RegExp(patternToRegex(one)).test(`.${name}`)).toBe(matchesPattern(one, name));
    }),
    { numRuns: 2_000 },
  );
});

test('what is filtered by is a parameter, never SQL', () => {
  const evil = "x' OR true; --";
  const filter = { ids: [evil], group: evil, handler: evil, event: `${evil}.#`, eventId: evil, key: evil, error: evil };
  const { sql, parameters } = addFilter(new Conditions('first'), { ...filter, transport: evil, from: new Date(0) });
  expect(sql).not.toContain('OR true');
  expect(sql.match(/\$\d+/g)?.map((place) => Number(place.slice(1)))).toEqual([2, 3, 4, 5, 6, 6, 7, 8, 8, 9, 10]);
  expect(parameters).toHaveLength(10);
});

import { describe, expect, it } from '@jest/globals';
import { retryProblems } from './retry-options.check.js';

class OutOfStock extends Error {}

describe('the check of retry options', () => {
  it.each([
    ['none', undefined],
    ['empty ones', {}],
    ['one that says it is not there', { maxElapsedMs: undefined }],
    [
      'everything',
      {
        attempts: 4,
        backoff: { type: 'list', delaysMs: [0, 100], jitter: false, initialMs: 1, maxMs: 2 },
        maxElapsedMs: 60_000,
        rules: [
          { class: OutOfStock, action: 'dead-letter' },
          { code: '23505', action: 'drop' },
          { code: ['A', 'B'], when: () => true, action: 'back-off', attempts: 9, backoff: { initialMs: 5 } },
          { when: () => true, action: 'pause', pauseMs: 1_000 },
        ],
        breaker: { backoff: { initialMs: 50 }, rate: { failures: 1, windowMs: 1_000, minimum: 5 } },
        crashes: 3,
      },
    ],
  ])('finds nothing wrong with %s', (_, retry) => {
    expect(retryProblems('retry', retry)).toEqual([]);
  });

  it.each([
    ['no object', 4, 'retry must be an object'],
    ['null', null, 'retry must be an object'],
    ['an unknown option', { retries: 4 }, 'retry.retries is not an option'],
    ['attempts', { attempts: 0 }, 'retry.attempts must be a whole number above 0'],
    ['maxElapsedMs', { maxElapsedMs: 1.5 }, 'retry.maxElapsedMs must be a whole number above 0'],
    ['crashes', { crashes: '3' }, 'retry.crashes must be a whole number above 0'],
    ['a backoff', { backoff: { type: 'linear' } }, 'retry.backoff.type must be one of "exponential", "fixed", "list"'],
    ['jitter', { backoff: { jitter: 1 } }, 'retry.backoff.jitter must be true or false'],
    ['a list without waits', { backoff: { type: 'list' } }, 'retry.backoff.delaysMs is missing'],
    ['an empty list', { backoff: { type: 'list', delaysMs: [] } }, 'retry.backoff.delaysMs must be a list'],
    ['a wait below 0', { backoff: { type: 'list', delaysMs: [-1] } }, 'retry.backoff.delaysMs must be a list'],
    ['rules that are no list', { rules: {} }, 'retry.rules must be a list'],
    ['a rule that is none', { rules: [null] }, 'retry.rules[0] must be an object'],
    [
      'a rule about nothing',
      { rules: [{ action: 'drop' }] },
      'retry.rules[0] needs at least one of class, code and when',
    ],
    ['a rule without action', { rules: [{ code: 'X' }] }, 'retry.rules[0].action is missing'],
    [
      'an unknown action',
      { rules: [{ code: 'X', action: 'ignore' }] },
      'retry.rules[0].action must be one of "retry-now"',
    ],
    ['a class by name', { rules: [{ class: 'OutOfStock', action: 'drop' }] }, 'retry.rules[0].class must be a class'],
    ['no codes', { rules: [{ code: [], action: 'drop' }] }, 'retry.rules[0].code must be a code'],
    ['a number as a code', { rules: [{ code: 23_505, action: 'drop' }] }, 'retry.rules[0].code must be a code'],
    ['a predicate', { rules: [{ when: true, action: 'drop' }] }, 'retry.rules[0].when must be a function'],
    ['pauseMs', { rules: [{ code: 'X', action: 'pause', pauseMs: 0 }] }, 'retry.rules[0].pauseMs must be a whole'],
    [
      "a rule's backoff",
      { rules: [{ code: 'X', action: 'back-off', backoff: { maxMs: 0 } }] },
      'retry.rules[0].backoff.maxMs',
    ],
    [
      "the breaker's backoff",
      { breaker: { backoff: { initialMs: 0 } } },
      'retry.breaker.backoff.initialMs must be a whole',
    ],
    ['a share of 0', { breaker: { rate: { failures: 0 } } }, 'retry.breaker.rate.failures must be a share above 0'],
    ['a share above 1', { breaker: { rate: { failures: 50 } } }, 'retry.breaker.rate.failures must be a share above 0'],
    ['a rate without a share', { breaker: { rate: { minimum: 5 } } }, 'retry.breaker.rate.failures is missing'],
  ])('refuses %s', (_, retry, problem) => {
    const problems = retryProblems('retry', retry);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(problem);
  });

  it('tells all that is wrong', () => {
    expect(retryProblems('retry', { attempts: 0, rules: [{}], breaker: { rate: { failures: 2 } } })).toHaveLength(4);
  });
});

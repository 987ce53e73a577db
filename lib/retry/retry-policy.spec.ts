import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Subscription } from '../core/subscription.js';
import { backoffMs } from './backoff.js';
import { DEFAULT_RETRY, RetryPolicy } from './retry-policy.js';

const subscription = { handler: 'h', group: 'g' } as Subscription;
const policy = new RetryPolicy(() => DEFAULT_RETRY);
const first = { attempt: 1, dependencyFailures: 0, conflicts: 0, subscription };
const refused = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });

describe('the retry policy', () => {
  it('tries four times in all, then gives the event to the dead letters with its error', () => {
    const error = new Error('boom');
    const kinds = [1, 2, 3, 4].map((attempt) => policy.decide(error, { ...first, attempt }));
    expect(kinds.map(({ kind }) => kind)).toEqual(['retry', 'retry', 'retry', 'deadLetter']);
    expect(kinds[3]).toMatchObject({ error });
  });

  it('waits for a broken dependency however often it failed, and marks the retry as one that does not count', () => {
    for (const dependencyFailures of [0, 10, 10_000]) {
      const decided = policy.decide(refused, { ...first, attempt: 4, dependencyFailures });
      expect(decided).toMatchObject({ kind: 'retry', dependency: true, counts: false });
    }
  });

  it('runs again soon after a conflict with another transaction, which uses up no attempt', () => {
    const deadlock = Object.assign(new Error('deadlock detected'), { code: '40P01' });
    const waits = Array.from({ length: 20 }, (_, conflicts) => {
      const decided = policy.decide(deadlock, { ...first, attempt: 4, conflicts });
      expect(decided).toMatchObject({ kind: 'retry', dependency: false, counts: false });
      return decided.kind === 'retry' ? decided.afterMs : 0;
    });
    expect(waits[0]).toBeLessThanOrEqual(13);
    expect(Math.max(...waits)).toBeLessThanOrEqual(1_250);
  });

  it('counts what conflicts more than 20 times in a row as an ordinary failure', () => {
    const failure = Object.assign(new Error('could not serialize access'), { code: '40001' });
    expect(policy.decide(failure, { ...first, conflicts: 20 })).toMatchObject({ kind: 'retry', counts: true });
    expect(policy.decide(failure, { ...first, attempt: 4, conflicts: 20 })).toMatchObject({ kind: 'deadLetter' });
  });

  it('asks for the options of the handler concerned', () => {
    const once = new RetryPolicy(({ handler }) => ({ ...DEFAULT_RETRY, attempts: handler === 'h' ? 1 : 4 }));
    expect(once.decide(new Error('boom'), first).kind).toBe('deadLetter');
  });
});

describe('the backoff', () => {
  it('without jitter is min(2^n × 100 ms, 5 s), the figures of the article', () => {
    const backoff = { ...DEFAULT_RETRY.backoff, jitter: false };
    expect([1, 2, 3, 4, 5, 6, 7, 8].map((n) => backoffMs(backoff, n))).toEqual([
      100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000,
    ]);
  });

  it('fixed is always the same', () => {
    expect([1, 9].map((n) => backoffMs({ type: 'fixed', initialMs: 70, maxMs: 5_000, jitter: false }, n))).toEqual([
      70, 70,
    ]);
  });

  it('with jitter is never shorter than without, and at most a quarter longer', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100_000 }), fc.double({ min: 0, max: 1, noNaN: true }), (n, random) => {
        const plain = backoffMs({ ...DEFAULT_RETRY.backoff, jitter: false }, n);
        const jittered = backoffMs(DEFAULT_RETRY.backoff, n, () => random);
        expect(jittered).toBeGreaterThanOrEqual(plain);
        expect(jittered).toBeLessThanOrEqual(plain * 1.25 + 1);
      }),
    );
  });
});

import { describe, expect, it } from '@jest/globals';
import type { Subscription } from '../core/subscription.js';
import { DEFAULT_RETRY, RetryPolicy } from '../retry/retry-policy.js';
import { afterFailure, FIRST_ATTEMPT } from './retrying.js';

const subscription = { handler: 'h', group: 'g' } as Subscription;
const policy = new RetryPolicy(() => DEFAULT_RETRY);
const conflict = Object.assign(new Error('could not serialize access'), { code: '40001' });

/** How often a delivery runs that fails like this, and which attempts were counted. */
function runsOf(failure: (run: number) => Error | undefined): { runs: number; attempts: number[]; dead: boolean } {
  let history = FIRST_ATTEMPT;
  const attempts: number[] = [];
  for (let run = 1; ; run++) {
    attempts.push(history.attempt);
    const error = failure(run);
    const decided = error && policy.decide(error, { ...history, subscription });
    if (decided?.kind !== 'retry') return { runs: run, attempts, dead: decided?.kind === 'deadLetter' };
    history = afterFailure(history, decided, 0);
  }
}

describe('a delivery that meets other transactions', () => {
  it('uses up no attempt: it is in its first one when it gets through', () => {
    const { attempts } = runsOf((run) => (run <= 20 ? conflict : undefined));
    expect(attempts).toEqual(Array.from({ length: 21 }, () => 1));
  });

  it('has all its attempts left for other failures', () => {
    const { attempts, dead } = runsOf((run) => (run % 2 === 1 ? conflict : new Error('boom')));
    expect(attempts).toEqual([1, 1, 2, 2, 3, 3, 4, 4]);
    expect(dead).toBe(true);
  });

  it('becomes a dead letter when it never gets through: after 20 in a row each further one counts', () => {
    expect(runsOf(() => conflict)).toMatchObject({ runs: 4 * 21, dead: true });
  });
});

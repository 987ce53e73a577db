import { beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ManualClock } from '../../test/support/manual-clock.js';
import { outcome, type Outcome } from '../core/outcome.js';
import type { BackoffOptions, BreakerOptions } from '../core/retry-options.js';
import { CircuitBreaker, type BreakerChange } from './circuit-breaker.js';

const BACKOFF: BackoffOptions = { type: 'exponential', initialMs: 100, maxMs: 1_000, jitter: false };
const RATE = { failures: 0.5, windowMs: 1_000, minimum: 4 };
const boom = new Error('boom');
const refused = new Error('refused');
const away = (afterMs = 0): Outcome => outcome.retry(refused, { afterMs, dependency: true });
const failed = (afterMs = 0): Outcome => outcome.retry(boom, { afterMs });
const conflict = outcome.retry(boom, { afterMs: 5, counts: false });

let clock: ManualClock;
let changes: BreakerChange[];
beforeEach(() => {
  clock = new ManualClock(1_000_000);
  changes = [];
});

function breaker(options: Partial<BreakerOptions> = {}): CircuitBreaker {
  return new CircuitBreaker(
    { backoff: BACKOFF, ...options },
    { clock, changed: (change) => void changes.push(change) },
  );
}
/** Tells it of an attempt that began now. */
const tell = (to: CircuitBreaker, decided: Outcome): Outcome => to.after(decided, clock.now());
const states = (): string[] => changes.map(({ state }) => state);

describe('a breaker', () => {
  it('opens at once for a broken dependency: nothing may run', () => {
    const one = breaker();
    expect(one.limit.now).toBe(Infinity);
    tell(one, away());
    expect([one.state, one.limit.now, one.openForMs]).toEqual(['open', 0, 100]);
    expect(changes).toEqual([{ state: 'open', forMs: 0, openForMs: 100, openings: 1, error: refused }]);
  });

  it('is half-open after its time: one may run, and what it says closes it', () => {
    for (const decided of [
      outcome.ack(),
      outcome.ack('duplicate'),
      outcome.deadLetter(boom),
      outcome.drop('no'),
      failed(),
    ]) {
      const one = breaker();
      tell(one, away());
      clock.advance(99);
      expect(one.state).toBe('open');
      clock.advance(1);
      expect([one.state, one.limit.now, one.openForMs]).toEqual(['half-open', 1, 0]);
      clock.advance(7);
      expect(tell(one, decided)).toBe(decided);
      expect([one.state, one.limit.now, one.error]).toEqual(['closed', Infinity, undefined]);
      expect(changes.at(-1)).toMatchObject({ state: 'closed', forMs: 107 });
    }
  });

  it('opens for longer each time that a try fails, and is quick again after it has closed', () => {
    const one = breaker();
    for (const openMs of [100, 200, 400, 800, 1_000, 1_000]) {
      tell(one, away());
      expect(one.openForMs).toBe(openMs);
      clock.advance(openMs);
    }
    tell(one, outcome.ack());
    tell(one, away());
    expect(one.openForMs).toBe(100);
  });

  it('stays open at least as long as the outcome says', () => {
    const one = breaker();
    tell(one, away(60_000));
    expect(one.openForMs).toBe(60_000);
  });

  it('tells each retry how long it really waits', () => {
    const one = breaker();
    expect(tell(one, away(20))).toMatchObject({ kind: 'retry', afterMs: 100, dependency: true, counts: false });
    clock.advance(40);
    expect(tell(one, failed(5))).toMatchObject({ afterMs: 60, counts: true, error: boom });
    expect(tell(one, failed(500))).toMatchObject({ afterMs: 500 });
    const ack = outcome.ack();
    expect(tell(one, ack)).toBe(ack);
  });

  it('is neither lengthened nor closed by what ends while it is open', () => {
    const one = breaker();
    tell(one, away());
    clock.advance(50);
    for (const decided of [away(10_000), away(), failed(), outcome.ack(), outcome.deadLetter(boom)]) tell(one, decided);
    expect([one.state, one.openForMs]).toEqual(['open', 50]);
    expect(states()).toEqual(['open']);
  });

  it('does not hear in half-open what began before', () => {
    const one = breaker();
    const before = clock.now();
    tell(one, away());
    clock.advance(100);
    one.after(outcome.ack(), before);
    one.after(away(), before);
    expect([one.state, one.limit.now]).toEqual(['half-open', 1]);
  });

  it('takes neither a conflict nor a wait for another delivery as an answer', () => {
    const one = breaker();
    tell(one, conflict);
    tell(one, away());
    clock.advance(100);
    tell(one, conflict);
    expect(one.state).toBe('half-open');
  });

  it('is not opened by other failures without a rate, however many', () => {
    const one = breaker();
    for (let n = 0; n < 1_000; n++) tell(one, n % 2 === 0 ? failed() : outcome.deadLetter(boom));
    expect([one.state, changes]).toEqual(['closed', []]);
  });

  it('with a rate opens when so many of the last attempts failed, if there were enough', () => {
    const one = breaker({ rate: RATE });
    tell(one, failed());
    tell(one, failed());
    tell(one, outcome.ack());
    expect(one.state).toBe('closed');
    tell(one, outcome.deadLetter(boom));
    expect([one.state, one.error]).toEqual(['open', boom]);
    clock.advance(100);
    // An ordinary failure is an answer; then it counts anew.
    tell(one, failed());
    tell(one, failed());
    tell(one, failed());
    tell(one, failed());
    expect(one.state).toBe('closed');
    tell(one, failed());
    expect(one.state).toBe('open');
  });

  it('forgets what has left the window', () => {
    const one = breaker({ rate: RATE });
    for (let n = 0; n < 3; n++) tell(one, failed());
    clock.advance(1_100);
    tell(one, failed());
    expect(one.state).toBe('closed');
    for (let n = 0; n < 3; n++) tell(one, outcome.ack());
    tell(one, failed());
    expect(one.state).toBe('closed');
    for (let n = 0; n < 2; n++) tell(one, failed());
    expect(one.state).toBe('open');
  });

  it('changes no more and holds no timer when it is closed for good', () => {
    const one = breaker();
    tell(one, away());
    one.close();
    expect(clock.pending).toBe(0);
    const two = breaker();
    two.close();
    tell(two, away());
    expect([two.state, clock.pending]).toEqual(['closed', 0]);
  });

  it('with any outcomes at any time goes from state to state as it should, and always comes back', () => {
    const steps = fc.array(
      fc.record({
        waitMs: fc.nat(300),
        decided: fc.constantFrom(away(), away(700), failed(), conflict, outcome.ack(), outcome.deadLetter(boom)),
      }),
    );
    fc.assert(
      fc.property(steps, fc.boolean(), (all, withRate) => {
        changes = [];
        const one = breaker(withRate ? { rate: RATE } : {});
        for (const { waitMs, decided } of all) {
          clock.advance(waitMs);
          tell(one, decided);
          expect(one.limit.now).toBe({ closed: Infinity, open: 0, 'half-open': 1 }[one.state]);
        }
        clock.advance(1_000);
        tell(one, outcome.ack());
        expect(one.state).toBe('closed');
        const next: Record<string, string[]> = {
          closed: ['open'],
          open: ['half-open'],
          'half-open': ['open', 'closed'],
        };
        ['closed', ...states()].reduce((from, to) => {
          expect(next[from]).toContain(to);
          return to;
        });
        expect(clock.pending).toBe(0);
      }),
    );
  });
});

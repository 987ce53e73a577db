import { describe, expect, it } from '@jest/globals';
import { isOutcome, outcome } from './outcome.js';

describe('outcomes', () => {
  const error = new Error('broken');

  it('say what follows', () => {
    expect(outcome.ack()).toMatchObject({ kind: 'ack', reason: 'handled' });
    expect(outcome.ack('duplicate')).toMatchObject({ kind: 'ack', reason: 'duplicate' });
    expect(outcome.retry(error, { afterMs: 5 })).toMatchObject({ kind: 'retry', error, afterMs: 5, dependency: false });
    expect(outcome.retry(error, { afterMs: 5, dependency: true })).toMatchObject({ dependency: true });
    expect(outcome.deadLetter(error)).toMatchObject({ kind: 'deadLetter', error });
    expect(outcome.drop('stale')).toMatchObject({ kind: 'drop', reason: 'stale' });
  });

  it('are told from everything else', () => {
    const all = [outcome.ack(), outcome.retry(error, { afterMs: 0 }), outcome.deadLetter(error), outcome.drop('x')];
    expect(all.map(isOutcome)).toEqual([true, true, true, true]);
  });

  it.each([
    ['nothing', undefined],
    ['null', null],
    ['a text', 'ack'],
    ['an error', error],
    ['a function', outcome.ack],
    ['a look-alike that a handler returns', { kind: 'ack', reason: 'handled' }],
    ['an outcome that went through JSON', JSON.parse(JSON.stringify(outcome.deadLetter('x')))],
  ])('are not: %s', (_what, value) => expect(isOutcome(value)).toBe(false));

  it('are recognised from a second copy of this package', () => {
    expect(isOutcome({ [Symbol.for('nestjs-events.outcome')]: true, kind: 'ack', reason: 'handled' })).toBe(true);
  });
});

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Fifo } from './fifo.js';

type Step = 'push' | 'shift' | 'clear';

/** Long stretches of one kind, so that the list grows past the size at which it tidies up. */
const stretches = fc.array(
  fc.tuple(
    fc.oneof(
      { weight: 5, arbitrary: fc.constant<Step>('push') },
      { weight: 5, arbitrary: fc.constant<Step>('shift') },
      {
        weight: 1,
        arbitrary: fc.constant<Step>('clear'),
      },
    ),
    fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1_000, max: 2_500 })),
  ),
  { maxLength: 12 },
);

describe('Fifo', () => {
  it('gives back what an array would, whatever the order of steps', () => {
    fc.assert(
      fc.property(stretches, (plan) => {
        const fifo = new Fifo<number>();
        let model: number[] = [];
        let count = 0;
        for (const [step, times] of plan) {
          for (let time = 0; time < times; time++) {
            if (step === 'push') {
              fifo.push(++count);
              model.push(count);
            } else if (step === 'shift') {
              expectSame(fifo.shift(), model.shift());
            } else {
              expect(fifo.clear()).toEqual(model);
              model = [];
            }
            expectSame(fifo.size, model.length);
            expectSame(fifo.peek(), model[0]);
          }
          expect([...fifo]).toEqual(model);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('keeps items that are undefined', () => {
    const fifo = new Fifo<string | undefined>();
    fifo.push(undefined);
    fifo.push('next');
    expect(fifo.size).toBe(2);
    expect(fifo.shift()).toBeUndefined();
    expect(fifo.size).toBe(1);
    expect(fifo.shift()).toBe('next');
  });

  it('is empty and usable after taking from nothing', () => {
    const fifo = new Fifo<number>();
    expect(fifo.shift()).toBeUndefined();
    expect(fifo.shift()).toBeUndefined();
    expect(fifo.size).toBe(0);
    fifo.push(1);
    expect(fifo.shift()).toBe(1);
  });
});

/** `expect` costs too much for each of a hundred thousand steps. */
function expectSame(actual: unknown, expected: unknown): void {
  if (!Object.is(actual, expected)) expect(actual).toBe(expected);
}

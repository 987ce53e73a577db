import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Gate } from '../../test/support/eventually.js';
import { ManualClock } from '../../test/support/manual-clock.js';
import { systemClock } from '../core/clock.js';
import type { IdempotencyKey, OnceAllResult } from './idempotency-store.js';
import { RunningKeys } from './running-keys.js';

const key = (eventId: string): IdempotencyKey => ({ consumer: 'shop.views', aliases: [], eventId });
const keys = (text: string): IdempotencyKey[] => [...text].map(key);
const all = (open: readonly number[]): Promise<OnceAllResult<string>> => Promise.resolve({ fresh: open, value: 'ran' });

describe('several keys at once', () => {
  test('a key that occurs twice is handed over the first time only', async () => {
    const running = new RunningKeys(systemClock, 1_000);
    expect(await running.onceAll(keys('abab'), all)).toEqual({ fresh: [0, 1], value: 'ran' });
  });

  test('what another call has handled meanwhile is left out, what it failed at is not', async () => {
    const running = new RunningKeys(systemClock, 1_000);
    const gate = new Gate();
    const handled = running.once(key('b'), async () => {
      await gate.passed;
      return { duplicate: false, value: undefined };
    });
    const failed = running.once(key('c'), async () => {
      await gate.passed;
      throw new Error('failed');
    });
    const batch = running.onceAll(keys('abcd'), all);
    gate.open();
    await Promise.allSettled([handled, failed]);
    expect(await batch).toEqual({ fresh: [0, 2, 3], value: 'ran' });
  });

  test('nothing is left: the effect does not run', async () => {
    const running = new RunningKeys(systemClock, 1_000);
    const gate = new Gate();
    const first = running.onceAll(keys('ab'), async (open) => {
      await gate.passed;
      return all(open);
    });
    const second = running.onceAll(keys('ba'), () => Promise.reject(new Error('ran')));
    gate.open();
    await first;
    expect(await second).toEqual({ fresh: [], value: undefined });
  });

  test('a batch that waits holds none of its other keys', async () => {
    const running = new RunningKeys(systemClock, 1_000);
    const gate = new Gate();
    const first = running.once(key('a'), async () => {
      await gate.passed;
      return { duplicate: true };
    });
    const waiting = running.onceAll(keys('ab'), all);
    expect(await running.onceAll(keys('b'), all)).toMatchObject({ fresh: [0] });
    gate.open();
    await Promise.all([first, waiting]);
  });

  test('the wait is bounded, over all keys together', async () => {
    const clock = new ManualClock();
    const running = new RunningKeys(clock, 100);
    void running.once(key('a'), () => new Promise(() => undefined));
    const expected = expect(running.onceAll(keys('xay'), all)).rejects.toMatchObject({
      code: 'EVENTS_DUPLICATE_BUSY',
      message: expect.stringContaining('"a"') as unknown,
    });
    await clock.advanceAsync(100);
    await expected;
  });

  test('batches with the same keys in any order never deadlock, and each key is handled once', async () => {
    const batch = fc.array(fc.constantFrom(...'abcdefgh'), { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(fc.array(batch, { minLength: 2, maxLength: 12 }), async (batches) => {
        const running = new RunningKeys(systemClock, 5_000);
        const handled: string[] = [];
        // What a store would remember: this test is about the waiting.
        const seen = new Set<string>();
        await Promise.all(
          batches.map((ids) =>
            running.onceAll(ids.map(key), async (open) => {
              await Promise.resolve();
              const fresh = open.filter((position) => !seen.has(ids[position] as string));
              await new Promise((resolve) => setImmediate(resolve));
              for (const position of fresh) {
                handled.push(ids[position] as string);
                seen.add(ids[position] as string);
              }
              return { fresh, value: undefined };
            }),
          ),
        );
        expect(handled.toSorted()).toEqual([...new Set(batches.flat())].toSorted());
      }),
      { numRuns: 50 },
    );
  });
});

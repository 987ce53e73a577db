import { describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { microtasks } from '../../test/support/manual-clock.js';
import type { WatermarkEntry } from './watermark.js';
import { Window } from './window.js';

const never = new AbortController().signal;

/** Whether a promise has resolved by now. */
function watch(promise: Promise<void>): { resolved: boolean } {
  const state = { resolved: false };
  void promise.then(() => (state.resolved = true));
  return state;
}

describe('Window', () => {
  it('is full, and intake waits, exactly while deliveries or bytes above the watermark reach a limit', async () => {
    const limits = fc.record({
      maxDeliveries: fc.nat(6),
      maxBytes: fc.nat(60),
    });
    const steps = fc.array(
      fc.oneof(
        fc.record({ bytes: fc.nat(80) }),
        fc.record({ settle: fc.nat(50) }),
        fc.constant({ wait: true as const }),
      ),
      { maxLength: 40 },
    );
    await fc.assert(
      fc.asyncProperty(limits, steps, async (limit, plan) => {
        const window = new Window<number>(limit);
        const open: { entry: WatermarkEntry<number>; position: number; bytes: number; settled: boolean }[] = [];
        let waiting: { resolved: boolean }[] = [];
        let position = 0;
        let low: number | undefined;
        for (const step of plan) {
          if ('bytes' in step) {
            position++;
            open.push({ entry: window.enter(position, step.bytes), position, bytes: step.bytes, settled: false });
          } else if ('wait' in step) {
            waiting.push(watch(window.room(never)));
          } else if (open.length > 0) {
            const each = open[step.settle % open.length] as (typeof open)[number];
            each.settled = true;
            const before = low;
            const moved = window.settle(each.entry);
            while (open[0]?.settled === true) low = open.shift()?.position;
            expect(moved).toBe(low !== before);
          }
          const bytes = open.reduce((sum, each) => sum + each.bytes, 0);
          const full = open.length > 0 && (open.length >= limit.maxDeliveries || bytes >= limit.maxBytes);
          expect([window.full, window.size, window.position]).toEqual([full, open.length, low]);
          await microtasks();
          expect(waiting.map((each) => each.resolved)).toEqual(waiting.map(() => !full));
          waiting = waiting.filter((each) => !each.resolved);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('lets one delivery in, however large, and no second one beside it', async () => {
    const window = new Window<number>({ maxDeliveries: 10, maxBytes: 100 });
    expect(window.full).toBe(false);
    await window.room(never);
    const giant = window.enter(1, 1_000_000);
    expect(window.full).toBe(true);
    const next = watch(window.room(never));
    await microtasks();
    expect(next.resolved).toBe(false);
    window.settle(giant);
    await microtasks();
    expect(next.resolved).toBe(true);
  });

  it('keeps intake waiting when something above an unsettled delivery is settled', async () => {
    const window = new Window<number>({ maxDeliveries: 2, maxBytes: 1_000 });
    const [lowest, upper] = [window.enter(1, 1), window.enter(2, 1)];
    const next = watch(window.room(never));
    expect(window.settle(upper)).toBe(false);
    await microtasks();
    expect([window.size, next.resolved]).toEqual([2, false]);
    expect(window.settle(lowest)).toBe(true);
    await microtasks();
    expect([window.size, next.resolved]).toEqual([0, true]);
  });

  it('ends waiting when the signal aborts, though there is no room', async () => {
    const window = new Window<number>({ maxDeliveries: 1, maxBytes: 1_000 });
    window.enter(1, 1);
    const abort = new AbortController();
    const [stopped, staying] = [watch(window.room(abort.signal)), watch(window.room(never))];
    abort.abort();
    await microtasks();
    expect([window.full, stopped.resolved, staying.resolved]).toEqual([true, true, false]);
    await expect(window.room(abort.signal)).resolves.toBeUndefined();
  });

  it('leaves no listeners on a signal that outlives many waits', async () => {
    const window = new Window<number>({ maxDeliveries: 1, maxBytes: 1_000 });
    const { signal } = new AbortController();
    const add = jest.spyOn(signal, 'addEventListener');
    const remove = jest.spyOn(signal, 'removeEventListener');
    for (let position = 0; position < 5; position++) {
      const entry = window.enter(position, 1);
      const room = window.room(signal);
      window.settle(entry);
      await room;
    }
    expect(add).toHaveBeenCalledTimes(5);
    expect(remove).toHaveBeenCalledTimes(5);
  });
});

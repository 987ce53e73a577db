import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { ManualClock, microtasks } from '../../test/support/manual-clock.js';
import { sleep, systemClock, within } from './clock.js';

describe('sleep', () => {
  it('ends after its delay and not before', async () => {
    const clock = new ManualClock();
    const done = jest.fn();
    void sleep(clock, 100).then(done);
    await clock.advanceAsync(99);
    expect(done).not.toHaveBeenCalled();
    clock.advance(1);
    await microtasks();
    expect(done).toHaveBeenCalledTimes(1);
  });

  it('ends at once on abort, without an error, and leaves no timer or listener behind', async () => {
    const clock = new ManualClock();
    const { signal, abort } = watchedSignal();
    const sleeping = sleep(clock, 100, signal);
    expect(clock.pending).toBe(1);
    abort();
    await expect(sleeping).resolves.toBeUndefined();
    expect(clock.pending).toBe(0);
  });

  it('does not start when the signal was aborted before', async () => {
    const clock = new ManualClock();
    await expect(sleep(clock, 100, AbortSignal.abort())).resolves.toBeUndefined();
    expect(clock.pending).toBe(0);
  });

  it('takes its listener off a signal that outlives it', async () => {
    const clock = new ManualClock();
    const { signal, listeners } = watchedSignal();
    const sleeping = sleep(clock, 100, signal);
    expect(listeners()).toBe(1);
    clock.advance(100);
    await sleeping;
    expect(listeners()).toBe(0);
  });
});

describe('within', () => {
  it('tells work that ended in time from work that did not, and cancels its deadline', async () => {
    const clock = new ManualClock();
    const inTime = within(clock, 100, sleep(clock, 99));
    await clock.advanceAsync(99);
    await expect(inTime).resolves.toBe(true);
    expect(clock.pending).toBe(0);

    const late = within(clock, 100, sleep(clock, 101));
    await clock.advanceAsync(100);
    await expect(late).resolves.toBe(false);
  });

  it('passes on the error of work that fails in time; a later failure is nobody’s unhandled rejection', async () => {
    const clock = new ManualClock();
    await expect(within(clock, 100, Promise.reject(new Error('broken')))).rejects.toThrow('broken');
    expect(clock.pending).toBe(0);

    let fail = (_error: Error): void => undefined;
    const late = within(clock, 100, new Promise((_resolve, reject) => (fail = reject)));
    clock.advance(100);
    await expect(late).resolves.toBe(false);
    const unhandled = jest.fn();
    process.on('unhandledRejection', unhandled);
    fail(new Error('too late'));
    await microtasks();
    await microtasks();
    process.off('unhandledRejection', unhandled);
    expect(unhandled).not.toHaveBeenCalled();
  });
});

describe('systemClock', () => {
  afterEach(() => void jest.useRealTimers());

  it('calls back once after the delay, or never when cancelled', () => {
    jest.useFakeTimers();
    const kept = jest.fn();
    const cancelled = jest.fn();
    systemClock.after(50, kept);
    systemClock.after(50, cancelled)();
    jest.advanceTimersByTime(49);
    expect(kept).not.toHaveBeenCalled();
    jest.advanceTimersByTime(1_000);
    expect(kept).toHaveBeenCalledTimes(1);
    expect(cancelled).not.toHaveBeenCalled();
  });

  it('does not fire at once for a delay longer than a Node timer can hold', () => {
    jest.useFakeTimers();
    const thirtyDays = 30 * 86_400_000;
    const month = jest.fn();
    const never = jest.fn();
    systemClock.after(thirtyDays, month);
    const cancel = systemClock.after(Number.POSITIVE_INFINITY, never);
    jest.advanceTimersByTime(thirtyDays - 1);
    expect(month).not.toHaveBeenCalled();
    jest.advanceTimersByTime(1);
    expect(month).toHaveBeenCalledTimes(1);
    expect(never).not.toHaveBeenCalled();
    cancel();
    expect(jest.getTimerCount()).toBe(0);
  });

  it('tells the time of day', () => {
    const before = Date.now();
    expect(systemClock.now()).toBeGreaterThanOrEqual(before);
    expect(systemClock.now()).toBeLessThanOrEqual(Date.now());
  });
});

describe('ManualClock', () => {
  it('runs timers by time, equal ones in the order they were set, and those set meanwhile', () => {
    const clock = new ManualClock(1_000);
    const seen: [string, number][] = [];
    const at = (name: string) => () => void seen.push([name, clock.now()]);
    clock.after(20, at('late'));
    clock.after(10, at('first'));
    clock.after(10, () => {
      at('second')();
      clock.after(5, at('nested'));
    });
    clock.after(10, at('cancelled'))();
    clock.advance(15);
    expect(seen).toEqual([
      ['first', 1_010],
      ['second', 1_010],
      ['nested', 1_015],
    ]);
    expect(clock.now()).toBe(1_015);
    clock.advance(5);
    expect(seen.at(-1)).toEqual(['late', 1_020]);
  });

  it('lets promises go on between timers when advanced asynchronously', async () => {
    const clock = new ManualClock();
    const woken: number[] = [];
    void (async () => {
      for (let turn = 0; turn < 3; turn++) {
        await sleep(clock, 10);
        woken.push(clock.now());
      }
    })();
    await clock.advanceAsync(30);
    expect(woken).toEqual([10, 20, 30]);
  });
});

/** A signal that counts the listeners on it. */
function watchedSignal(): { signal: AbortSignal; abort: () => void; listeners: () => number } {
  const controller = new AbortController();
  const { signal } = controller;
  const add = jest.spyOn(signal, 'addEventListener');
  const remove = jest.spyOn(signal, 'removeEventListener');
  return {
    signal,
    abort: () => controller.abort(),
    listeners: () => add.mock.calls.length - remove.mock.calls.length,
  };
}

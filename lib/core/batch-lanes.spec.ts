import { describe, expect, it, jest } from '@jest/globals';
import { ManualClock, microtasks } from '../../test/support/manual-clock.js';
import { BatchLanes } from './batch-lanes.js';
import { sleep } from './clock.js';
import type { Slot } from './lanes.js';

interface Options {
  readonly size?: number;
  readonly waitMs?: number;
  readonly concurrency?: number;
}

/** Items are texts: the first letter is the key, `!` goes alone, `?` is returned by its batch. Everything takes 10 ms. */
function setUp({ size = 3, waitMs = 20, concurrency = 2 }: Options = {}) {
  const clock = new ManualClock();
  const started: string[] = [];
  const onError = jest.fn();
  let work = (_: Slot): Promise<unknown> => sleep(clock, 10);
  const lanes = new BatchLanes<string>({
    ...{ size, waitMs, concurrency, clock, onError },
    isAlone: (item) => item.endsWith('!'),
    runBatch: async (items, slot) => {
      started.push(items.join(' '));
      await work(slot);
      return items.filter((item) => item.endsWith('?'));
    },
    run: async (item, slot) => {
      started.push(`alone ${item}`);
      await work(slot);
    },
  });
  const push = (...items: string[]): boolean[] => items.map((item) => lanes.push(item, item[0] as string));
  return { clock, lanes, started, push, onError, does: (next: typeof work) => (work = next) };
}

describe('BatchLanes', () => {
  it('start a batch at once when it is full', () => {
    const { started, push, clock } = setUp();
    push('a1', 'b1', 'a2');
    expect(started).toEqual(['a1 b1 a2']);
    expect(clock.pending).toBe(1);
  });

  it('start what there is when the first has waited long enough', async () => {
    const { started, push, clock } = setUp();
    push('a1');
    await clock.advanceAsync(15);
    push('b1');
    await clock.advanceAsync(4);
    expect(started).toEqual([]);
    await clock.advanceAsync(1);
    expect(started).toEqual(['a1 b1']);
  });

  it('do not wait when waitMs is 0: what comes meanwhile is the next batch', async () => {
    const { started, push, clock } = setUp({ waitMs: 0, concurrency: 1, size: 10 });
    push('a1', 'b1', 'c1');
    await clock.advanceAsync(10);
    expect(started).toEqual(['a1', 'b1 c1']);
  });

  it('keep a key that runs out of other batches, and take all that waited for it into one', async () => {
    const { started, push, clock } = setUp();
    push('a1', 'b1', 'c1', 'a2', 'd1', 'a3', 'd2', 'd3');
    expect(started).toEqual(['a1 b1 c1', 'd1 d2 d3']);
    await clock.advanceAsync(10);
    expect(started).toHaveLength(2);
    await clock.advanceAsync(10);
    expect(started.slice(2)).toEqual(['a2 a3']);
  });

  it('run so many batches at the same time, and the rest when one has ended', async () => {
    const { started, push, clock, lanes } = setUp();
    push(...Array.from({ length: 9 }, (_, n) => `${'abcdefghi'[n]}1`));
    expect(started).toEqual(['a1 b1 c1', 'd1 e1 f1']);
    expect(lanes.running).toBe(2);
    await clock.advanceAsync(10);
    expect(started.slice(2)).toEqual(['g1 h1 i1']);
  });

  it('let keys take turns: a busy one does not starve a quiet one', async () => {
    const { started, push, clock } = setUp({ concurrency: 1 });
    push(...Array.from({ length: 30 }, (_, n) => `a${n}`), 'b1', 'c1', 'd1');
    await clock.advanceAsync(10);
    expect(started).toEqual(['a0 a1 a2', 'b1 c1 d1']);
  });

  it('run by itself what a batch returns; its key waits for it, others do not', async () => {
    const { started, push, clock } = setUp();
    push('a1?', 'b1', 'c1', 'a2', 'b2');
    await clock.advanceAsync(10);
    expect(started.slice(1)).toEqual(['alone a1?']);
    await clock.advanceAsync(10);
    expect(started.slice(2).sort()).toEqual(['a2 b2']);
  });

  it('never put into a batch what has to go alone, nor let it overtake, nor be overtaken', async () => {
    const { started, push, clock } = setUp({ concurrency: 3 });
    push('a1', 'a2!', 'a3', 'b1!', 'c1', 'd1');
    expect(started).toEqual(['alone b1!', 'a1 c1 d1']);
    await clock.advanceAsync(10);
    expect(started.slice(2)).toEqual(['alone a2!']);
    await clock.advanceAsync(10);
    expect(started.slice(3)).toEqual(['a3']);
  });

  it('give the place of a parked batch to another; its keys stay held', async () => {
    const { started, push, clock, does } = setUp({ concurrency: 1, size: 2 });
    does((slot) => slot.park(100));
    push('a1', 'b1', 'a2', 'c1', 'd1');
    await clock.advanceAsync(99);
    expect(started).toEqual(['a1 b1', 'c1 d1']);
    await clock.advanceAsync(1);
    expect(started.slice(2)).toEqual(['a2']);
  });

  it('go on after a batch and an item that throw, and report the errors', async () => {
    const { push, lanes, started, onError, does } = setUp();
    does(() => Promise.reject(new Error('broken')));
    push('a1', 'b1', 'a2', 'c1!', 'a3', 'b2', 'c2');
    await lanes.idle();
    expect(started).toEqual(['a1 b1 a2', 'alone c1!', 'a3 b2 c2']);
    expect(onError).toHaveBeenCalledTimes(3);
    expect([lanes.size, lanes.running]).toEqual([0, 0]);
  });

  it('take items without a key in any batch', () => {
    const { lanes, started } = setUp();
    for (const item of ['1', '2', '3', '4', '5', '6']) lanes.push(item);
    expect(started).toEqual(['1 2 3', '4 5 6']);
  });
});

describe('BatchLanes, once closed', () => {
  it('return what has not started at once, also of a batch that is not full, and leave no timer', async () => {
    const { push, lanes, clock, started } = setUp({ waitMs: 60_000, concurrency: 1 });
    push('a1', 'b1', 'c1!', 'c2');
    expect(lanes.close()).toEqual(['a1', 'b1', 'c2']);
    await clock.advanceAsync(10);
    await lanes.idle();
    expect(started).toEqual(['alone c1!']);
    expect([lanes.size, lanes.running, clock.pending]).toEqual([0, 0, 0]);
    expect([lanes.close(), push('a3')]).toEqual([[], [false]]);
  });

  it('let what runs end, and bring what it returns to its end with a slot that says so', async () => {
    const { push, lanes, clock, started, does } = setUp({ size: 2, concurrency: 1 });
    const closing: boolean[] = [];
    does(async (slot) => {
      await sleep(clock, 10);
      closing.push(slot.closing.aborted, await slot.park(5));
    });
    push('a1?', 'b1', 'a2', 'c1');
    expect(lanes.close()).toEqual(['a2', 'c1']);
    await clock.advanceAsync(30);
    await lanes.idle();
    expect(started).toEqual(['a1? b1', 'alone a1?']);
    expect(closing).toEqual([true, false, true, false]);
    expect([lanes.size, clock.pending]).toEqual([0, 0]);
  });

  it('wake a parked batch with false', async () => {
    const { push, lanes, does } = setUp();
    const told: boolean[] = [];
    does(async (slot) => void told.push(await slot.park(1_000)));
    push('a1', 'b1', 'c1');
    await microtasks();
    lanes.close();
    await lanes.idle();
    expect(told).toEqual([false]);
  });
});

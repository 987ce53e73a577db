import { describe, expect, it, jest } from '@jest/globals';
import { ManualClock, microtasks } from '../../test/support/manual-clock.js';
import { sleep } from './clock.js';
import { Lanes, type Slot } from './lanes.js';

interface Job {
  readonly name: string;
  readonly run?: (slot: Slot) => Promise<void>;
}

function setUp(concurrency: number) {
  const clock = new ManualClock();
  const started: string[] = [];
  const onError = jest.fn();
  const lanes = new Lanes<Job>({
    concurrency,
    clock,
    onError,
    run: async (job, slot) => {
      started.push(job.name);
      await (job.run ?? (() => sleep(clock, 10)))(slot);
    },
  });
  return { clock, lanes, started, onError };
}

/** A job that parks itself once and notes what it was told when it woke. */
function parking(name: string, delayMs: number, told: boolean[] = []): Job {
  return { name, run: async (slot) => void told.push(await slot.park(delayMs)) };
}

describe('Lanes', () => {
  it('runs one key in order, one at a time, and other keys beside it', async () => {
    const { clock, lanes, started } = setUp(10);
    for (const name of ['a1', 'a2', 'b1', 'a3']) lanes.push({ name }, name[0]);
    expect(started).toEqual(['a1', 'b1']);
    await clock.advanceAsync(10);
    expect(started).toEqual(['a1', 'b1', 'a2']);
    await clock.advanceAsync(10);
    expect(started).toEqual(['a1', 'b1', 'a2', 'a3']);
  });

  it('runs what has no key side by side, up to the concurrency', async () => {
    const { clock, lanes, started } = setUp(2);
    for (const name of ['1', '2', '3']) lanes.push({ name });
    expect([lanes.running, lanes.size, started]).toEqual([2, 3, ['1', '2']]);
    await clock.advanceAsync(10);
    expect([lanes.running, lanes.size, started]).toEqual([1, 1, ['1', '2', '3']]);
  });

  it('treats the empty key as a key', () => {
    const { lanes, started } = setUp(10);
    lanes.push({ name: '1' }, '');
    lanes.push({ name: '2' }, '');
    expect(started).toEqual(['1']);
  });

  it('lets a quiet key take its turn beside a busy one', async () => {
    const { clock, lanes, started } = setUp(1);
    for (let index = 0; index < 100; index++) lanes.push({ name: `busy${index}` }, 'busy');
    lanes.push({ name: 'quiet' }, 'quiet');
    await clock.advanceAsync(10);
    expect(started).toEqual(['busy0', 'quiet']);
  });

  it('gives the place of a parked item to another key, and keeps the parked key in order', async () => {
    const { clock, lanes, started } = setUp(1);
    lanes.push(parking('a1', 100), 'a');
    lanes.push({ name: 'a2' }, 'a');
    lanes.push({ name: 'b1' }, 'b');
    await microtasks();
    expect([started, lanes.running, lanes.size]).toEqual([['a1', 'b1'], 1, 3]);
    await clock.advanceAsync(99);
    expect([started, lanes.running, lanes.size]).toEqual([['a1', 'b1'], 0, 2]);
    await clock.advanceAsync(1);
    expect([started, lanes.running]).toEqual([['a1', 'b1', 'a2'], 1]);
  });

  it('lets a parked item whose time has come wait for a place before it goes on', async () => {
    const { clock, lanes } = setUp(1);
    const told: boolean[] = [];
    lanes.push(parking('a1', 5, told), 'a');
    lanes.push({ name: 'b1' }, 'b');
    await clock.advanceAsync(9);
    expect(told).toEqual([]);
    expect(lanes.running).toBe(1);
    await clock.advanceAsync(1);
    expect(told).toEqual([true]);
  });

  it('goes on with the lane after an item that throws, and reports the error', async () => {
    const { lanes, started, onError } = setUp(1);
    const broken = new Error('broken');
    lanes.push({ name: 'a1', run: () => Promise.reject(broken) }, 'a');
    lanes.push({ name: 'a2', run: () => Promise.resolve() }, 'a');
    await lanes.idle();
    expect(started).toEqual(['a1', 'a2']);
    expect(onError.mock.calls).toEqual([[broken]]);
    expect([lanes.running, lanes.size]).toEqual([0, 0]);
  });

  it('goes on after a run() that throws before it returns a promise', async () => {
    const onError = jest.fn();
    const run = jest
      .fn<() => Promise<void>>(() => Promise.resolve())
      .mockImplementationOnce(() => {
        throw new TypeError('synchronously');
      });
    const lanes = new Lanes<number>({ concurrency: 1, clock: new ManualClock(), onError, run });
    expect([lanes.push(1, 'a'), lanes.push(2, 'a')]).toEqual([true, true]);
    await lanes.idle();
    expect(run).toHaveBeenCalledTimes(2);
    expect(onError).toHaveBeenCalledTimes(1);
  });

  it('is idle at once when nothing was pushed, and after what runs, waits or is parked is finished', async () => {
    const { clock, lanes } = setUp(1);
    await lanes.idle();
    const idle = jest.fn();
    lanes.push(parking('a1', 50), 'a');
    lanes.push({ name: 'a2' }, 'a');
    void lanes.idle().then(idle);
    await clock.advanceAsync(59);
    expect(idle).not.toHaveBeenCalled();
    await clock.advanceAsync(1);
    expect(idle).toHaveBeenCalledTimes(1);
  });

  it('takes items from a run that is under way', async () => {
    const { clock, lanes, started } = setUp(1);
    const second: Job = { name: 'second' };
    lanes.push({ name: 'first', run: async () => void lanes.push(second, 'a') }, 'a');
    await clock.advanceAsync(10);
    expect([started, lanes.size]).toEqual([['first', 'second'], 0]);
  });
});

describe('Lanes, once closed', () => {
  it('start nothing more, give back what never started, and let what runs end', async () => {
    const { clock, lanes, started } = setUp(2);
    for (const name of ['a1', 'a2', 'a3', 'b1', 'c1', 'c2']) lanes.push({ name }, name[0]);
    lanes.push({ name: 'free' });
    const back = lanes.close().map((job) => job.name);
    expect([...back].sort()).toEqual(['a2', 'a3', 'c1', 'c2', 'free']);
    expect(back.indexOf('a2')).toBeLessThan(back.indexOf('a3'));
    expect(back.indexOf('c1')).toBeLessThan(back.indexOf('c2'));
    expect(lanes.size).toBe(2);
    await clock.advanceAsync(100);
    await lanes.idle();
    expect(started).toEqual(['a1', 'b1']);
  });

  it('take nothing, and give nothing back a second time', async () => {
    const { clock, lanes, started } = setUp(1);
    lanes.push({ name: 'a1' }, 'a');
    lanes.push({ name: 'a2' }, 'a');
    expect(lanes.close()).toHaveLength(1);
    expect(lanes.push({ name: 'a3' }, 'a')).toBe(false);
    expect(lanes.push({ name: 'free' })).toBe(false);
    expect(lanes.close()).toEqual([]);
    await clock.advanceAsync(100);
    expect([started, lanes.size]).toEqual([['a1'], 0]);
  });

  it('wake what is parked with false: waiting for its time, or for a place', async () => {
    const { clock, lanes } = setUp(1);
    const told: boolean[] = [];
    lanes.push(parking('waits for a place', 5, told), 'a');
    lanes.push(parking('waits for its time', 500, told), 'b');
    lanes.push({ name: 'runs' }, 'c');
    await clock.advanceAsync(7);
    lanes.close();
    await microtasks();
    expect(told).toEqual([false, false]);
    expect([lanes.running, lanes.size]).toEqual([1, 1]);
    await clock.advanceAsync(3);
    await lanes.idle();
    expect([lanes.running, clock.pending]).toEqual([0, 0]);
  });

  it('refuse to park, and tell what runs by its signal', async () => {
    const { lanes } = setUp(1);
    const seen: boolean[] = [];
    const run = async (slot: Slot): Promise<void> => {
      await new Promise<void>((resolve) => slot.closing.addEventListener('abort', () => resolve()));
      seen.push(slot.closing.aborted, await slot.park(10_000));
    };
    lanes.push({ name: 'a1', run }, 'a');
    lanes.close();
    await lanes.idle();
    expect(seen).toEqual([true, false]);
    expect(lanes.running).toBe(0);
  });
});

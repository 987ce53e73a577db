import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ManualClock, microtasks } from '../../test/support/manual-clock.js';
import { BatchLanes } from './batch-lanes.js';
import { sleep } from './clock.js';
import { Lanes, type Slot } from './lanes.js';
import { SettableLimit } from './limit.js';

interface Job {
  readonly name: string;
  readonly run?: (slot: Slot) => Promise<void>;
}

function setUp(concurrency = 10, now = Infinity) {
  const clock = new ManualClock();
  const limit = new SettableLimit(now);
  const started: string[] = [];
  const lanes = new Lanes<Job>({
    ...{ concurrency, clock, limit },
    onError: (error) => {
      throw error;
    },
    run: async (job, slot) => {
      started.push(job.name);
      await (job.run ?? (() => sleep(clock, 10)))(slot);
    },
  });
  return { clock, limit, lanes, started };
}

describe('Lanes with a limit', () => {
  it('start nothing while it is 0, one with 1, and all that may when it is gone', async () => {
    const { clock, limit, lanes, started } = setUp(3, 0);
    for (const name of ['1', '2', '3', '4']) lanes.push({ name });
    await clock.advanceAsync(1_000);
    expect(started).toEqual([]);
    limit.set(1);
    expect(started).toEqual(['1']);
    await clock.advanceAsync(10);
    expect(started).toEqual(['1', '2']);
    limit.set(Infinity);
    expect(started).toEqual(['1', '2', '3', '4']);
  });

  it('let go on what runs when it falls, and start the next when there are fewer', async () => {
    const { clock, limit, lanes, started } = setUp(2);
    for (const name of ['1', '2', '3', '4']) lanes.push({ name });
    limit.set(1);
    await clock.advanceAsync(10);
    expect([started, lanes.running]).toEqual([['1', '2', '3'], 1]);
  });

  it('hold back what was parked, too, and let it go on in turn', async () => {
    const { clock, limit, lanes, started } = setUp();
    const woken: boolean[] = [];
    lanes.push({ name: 'parked', run: async (slot) => void woken.push(await slot.park(5)) });
    await microtasks();
    limit.set(0);
    lanes.push({ name: 'later' });
    await clock.advanceAsync(1_000);
    expect([woken, started]).toEqual([[], ['parked']]);
    limit.set(1);
    await microtasks();
    // What waited longer comes first.
    expect([woken, started]).toEqual([[], ['parked', 'later']]);
    await clock.advanceAsync(10);
    expect(woken).toEqual([true]);
  });

  it('that are closed while it is 0 give back what never started, wake what was parked, and listen no more', async () => {
    const { clock, limit, lanes, started } = setUp();
    const woken: boolean[] = [];
    for (const delayMs of [5, 600_000]) {
      lanes.push({ name: `parked for ${delayMs}`, run: async (slot) => void woken.push(await slot.park(delayMs)) });
    }
    await microtasks();
    limit.set(0);
    lanes.push({ name: 'waits' });
    await clock.advanceAsync(100);
    expect(lanes.close().map(({ name }) => name)).toEqual(['waits']);
    await lanes.idle();
    expect([woken, lanes.running, lanes.size, clock.pending]).toEqual([[false, false], 0, 0, 0]);
    limit.set(Infinity);
    expect(started).toHaveLength(2);
  });

  it('with any limits at any time never run more than they say, leave no place unused, and finish everything', async () => {
    const limits = fc.constantFrom(0, 1, 2, Infinity);
    const jobs = fc.array(
      fc.record({ key: fc.constantFrom('a', 'b', undefined), workMs: fc.nat(4), parkMs: fc.option(fc.nat(6)) }),
      { maxLength: 15 },
    );
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 3 }), jobs, fc.array(limits, { maxLength: 40 }), async (...given) => {
        const [concurrency, all, over] = given;
        const { clock, limit, lanes } = setUp(concurrency);
        const order = new Map<string, number[]>();
        let done = 0;
        let running = 0;
        const take = (): void => {
          running++;
          expect(running).toBeLessThanOrEqual(Math.min(concurrency, limit.now));
        };
        for (const [n, { key, workMs, parkMs }] of all.entries()) {
          const run = async (slot: Slot): Promise<void> => {
            if (key !== undefined) order.set(key, [...(order.get(key) ?? []), n]);
            take();
            await sleep(clock, workMs);
            running--;
            if (parkMs !== null) {
              expect(await slot.park(parkMs)).toBe(true);
              take();
              running--;
            }
            done++;
          };
          lanes.push({ name: String(n), run }, key);
        }
        for (const now of over) {
          limit.set(now);
          await clock.advanceAsync(1);
          if (now === 0) continue;
          expect(lanes.running > 0 || lanes.size === 0 || clock.pending > 0).toBe(true);
        }
        limit.set(1);
        await clock.advanceAsync(15 * (4 + 6) + 1);
        await lanes.idle();
        expect([done, lanes.running, lanes.size]).toEqual([all.length, 0, 0]);
        for (const numbers of order.values()) expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
      }),
      { numRuns: 200 },
    );
  });
});

describe('BatchLanes with a limit', () => {
  it('start no batch while it is 0; then one has all that may be in it', async () => {
    const clock = new ManualClock();
    const limit = new SettableLimit(0);
    const ran: string[] = [];
    const lanes = new BatchLanes<string>({
      ...{ concurrency: 4, size: 3, waitMs: 20, clock, limit },
      isAlone: (item) => item.startsWith('alone'),
      runBatch: async (items) => {
        ran.push(items.join(' '));
        await sleep(clock, 10);
        return [];
      },
      run: async (item) => void ran.push(item),
      onError: (error) => {
        throw error;
      },
    });
    for (const item of ['a', 'b', 'alone', 'c', 'd']) lanes.push(item);
    await clock.advanceAsync(1_000);
    expect(ran).toEqual([]);
    limit.set(1);
    await clock.advanceAsync(0);
    expect(ran).toEqual(['alone', 'a b c']);
    await clock.advanceAsync(10);
    expect(ran).toEqual(['alone', 'a b c', 'd']);
    limit.set(0);
    lanes.push('e');
    expect(lanes.close()).toEqual(['e']);
    await clock.advanceAsync(100);
    await lanes.idle();
  });
});

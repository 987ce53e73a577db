import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ManualClock } from '../../test/support/manual-clock.js';
import { BatchLanes } from './batch-lanes.js';
import { sleep } from './clock.js';
import type { Slot } from './lanes.js';

/** Runs for a while, or parks for a while. */
type Step = { readonly kind: 'work' | 'park'; readonly ms: number };
interface Plan {
  readonly key: string | undefined;
  readonly arrivesAt: number;
  /** What a run does: of a batch, that of its first item. */
  readonly steps: readonly Step[];
  /** Goes alone from the start, or is returned by its batch. */
  readonly kind: 'good' | 'bad' | 'alone';
}
interface Limits {
  readonly size: number;
  readonly waitMs: number;
  readonly concurrency: number;
}

const LAST_ARRIVAL_MS = 12;
const step: fc.Arbitrary<Step> = fc.record({ kind: fc.constantFrom('work', 'park'), ms: fc.nat(6) });
const plans: fc.Arbitrary<Plan[]> = fc.array(
  fc.record({
    key: fc.constantFrom('a', 'b', 'c', undefined),
    arrivesAt: fc.nat(LAST_ARRIVAL_MS),
    steps: fc.array(step, { maxLength: 3 }),
    kind: fc.constantFrom('good', 'good', 'good', 'bad', 'alone'),
  }),
  { maxLength: 24 },
);
const limits: fc.Arbitrary<Limits> = fc.record({
  size: fc.integer({ min: 1, max: 5 }),
  waitMs: fc.nat(8),
  concurrency: fc.integer({ min: 1, max: 3 }),
});
const END_MS = LAST_ARRIVAL_MS + 24 * 2 * (3 * 6 + 8) + 1;

class Item {
  /** `aside`: its batch has returned it, and it waits to go by itself. */
  state: 'waiting' | 'held' | 'aside' | 'finished' | 'returned' = 'waiting';
  arrivedAt = 0;
  finishedAt = Infinity;
  runs = 0;
  constructor(
    readonly number: number,
    readonly plan: Plan,
  ) {}
}

/** Lanes under watch: what must never be is noticed as it happens. */
class Watched {
  readonly clock = new ManualClock();
  readonly arrived: Item[] = [];
  readonly violations: string[] = [];
  readonly lanes: BatchLanes<Item>;
  running = 0;
  closed = false;

  constructor(readonly limits: Limits) {
    this.lanes = new BatchLanes<Item>({
      ...limits,
      clock: this.clock,
      isAlone: ({ plan }) => plan.kind === 'alone',
      runBatch: (items, slot) => this.#runBatch(items, slot),
      run: (item, slot) => this.#run(item, slot),
      onError: (error) => this.#violated(String(error)),
    });
  }

  push(plan: Plan): boolean {
    const item = new Item(this.arrived.length, plan);
    item.arrivedAt = this.clock.now();
    if (!this.closed) this.arrived.push(item);
    return this.lanes.push(item, plan.key);
  }

  /** What the next batch may have: nothing before it in its key is held, or has to go alone. */
  eligible(): Item[] {
    return this.arrived.filter(
      (item) =>
        item.state === 'waiting' &&
        item.plan.kind !== 'alone' &&
        this.#before(item).every(({ state, plan }) => state === 'waiting' && plan.kind !== 'alone'),
    );
  }

  /** Whether a batch has to run as soon as there is a place. */
  batchIsDue(): boolean {
    const eligible = this.eligible();
    const { size, waitMs } = this.limits;
    return eligible.length >= size || eligible.some(({ arrivedAt }) => arrivedAt + waitMs <= this.clock.now());
  }

  /** What could go by itself now. */
  aloneCouldRun(): boolean {
    return this.arrived.some(
      (item) =>
        (item.state === 'aside' || (item.state === 'waiting' && item.plan.kind === 'alone')) &&
        this.#before(item).length === 0,
    );
  }

  /** Without what was behind an item that finished in this very moment: the lanes may not have heard of that yet. */
  #settledEligible(): Item[] {
    const now = this.clock.now();
    const freed = this.arrived.filter(({ finishedAt }) => finishedAt === now);
    return this.eligible().filter(
      ({ plan }) => !freed.some((other) => plan.key !== undefined && other.plan.key === plan.key),
    );
  }

  #finish(item: Item): void {
    item.state = 'finished';
    item.finishedAt = this.clock.now();
  }

  #before(item: Item): Item[] {
    const { key } = item.plan;
    return this.arrived.filter(
      (other) =>
        key !== undefined && other.plan.key === key && other.number < item.number && other.state !== 'finished',
    );
  }

  async #runBatch(items: readonly Item[], slot: Slot): Promise<readonly Item[]> {
    const eligible = this.eligible();
    if (this.closed) this.#violated('a batch started after close');
    if (!this.batchIsDue()) this.#violated('a batch started early');
    const [least, most] = [this.#settledEligible().length, eligible.length].map((n) => Math.min(this.limits.size, n));
    if (items.length < (least as number) || items.length > (most as number))
      this.#violated(`a batch had ${items.length}`);
    if (items.some((item) => !eligible.includes(item))) this.#violated('an item of a batch had to wait');
    if (items.some((item, index) => index > 0 && item.number <= (items[index - 1] as Item).number))
      this.#violated('a batch was out of order');
    // Of a key, the first: else a later batch would overtake.
    for (const item of items) {
      const skipped = this.#before(item).filter((other) => !items.includes(other));
      if (skipped.length > 0) this.#violated(`${item.number} overtook`);
    }
    for (const item of items) item.state = 'held';
    await this.#work((items[0] as Item).plan.steps, slot);
    const aside = items.filter(({ plan, number }) =>
      items.some(
        (other) =>
          other.plan.kind === 'bad' &&
          (other.number === number || (plan.key !== undefined && other.plan.key === plan.key && other.number < number)),
      ),
    );
    for (const item of items) {
      if (aside.includes(item)) item.state = 'aside';
      else this.#finish(item);
    }
    return aside;
  }

  async #run(item: Item, slot: Slot): Promise<void> {
    if (item.runs++ > 0) this.#violated(`${item.number} ran twice`);
    if (this.#before(item).length > 0) this.#violated(`${item.number} overtook`);
    if (item.state !== (item.plan.kind === 'alone' ? 'waiting' : 'aside')) this.#violated(`${item.number} ran alone`);
    if (this.closed) {
      if (!slot.closing.aborted) this.#violated(`${item.number} was not told of the close`);
      item.state = 'returned';
      return;
    }
    item.state = 'held';
    await this.#work(item.plan.steps, slot);
    this.#finish(item);
  }

  async #work(steps: readonly Step[], slot: Slot): Promise<void> {
    this.#enter();
    for (const { kind, ms } of steps) {
      if (kind === 'work') await sleep(this.clock, ms);
      else {
        this.running--;
        const goOn = await slot.park(ms);
        this.#enter();
        if (goOn !== !this.closed) this.#violated(`it was told ${goOn}`);
        if (!goOn) break;
      }
    }
    this.running--;
  }

  #enter(): void {
    this.running++;
    if (!this.closed && this.running > this.limits.concurrency) this.#violated(`${this.running} ran`);
  }

  #violated(what: string): void {
    this.violations.push(`${what} at ${this.clock.now()} ms`);
  }
}

describe('BatchLanes, with any keys, sizes, durations, failures and parks', () => {
  it('keep order per key and both bounds, leave nothing due while there is a place, and finish everything once', async () => {
    await fc.assert(
      fc.asyncProperty(limits, plans, async (limit, all) => {
        const watched = new Watched(limit);
        for (let ms = 0; ms < END_MS && (ms <= LAST_ARRIVAL_MS || watched.lanes.size > 0); ms++) {
          for (const plan of all) if (plan.arrivesAt === ms) expect(watched.push(plan)).toBe(true);
          await watched.clock.advanceAsync(0);
          expect(watched.violations).toEqual([]);
          expect(watched.lanes.running).toBe(watched.running);
          expect(watched.lanes.size).toBe(watched.arrived.filter(({ state }) => state !== 'finished').length);
          if (watched.lanes.running < limit.concurrency) {
            expect([watched.batchIsDue(), watched.aloneCouldRun()]).toEqual([false, false]);
          }
          await watched.clock.advanceAsync(1);
        }
        await watched.lanes.idle();
        expect(watched.violations).toEqual([]);
        expect(watched.arrived.map(({ state }) => state)).toEqual(all.map(() => 'finished'));
        expect([watched.lanes.running, watched.lanes.size, watched.clock.pending]).toEqual([0, 0, 0]);
      }),
      { numRuns: 300 },
    );
  });

  it('give back exactly what never started when closed at any moment, in order, and become idle', async () => {
    await fc.assert(
      fc.asyncProperty(limits, plans, fc.nat(40), async (limit, all, closeAt) => {
        const watched = new Watched(limit);
        for (let ms = 0; ms <= closeAt; ms++) {
          for (const plan of all) if (plan.arrivesAt === ms) watched.push(plan);
          await watched.clock.advanceAsync(ms === closeAt ? 0 : 1);
        }
        const unstarted = watched.arrived.filter(({ state }) => state === 'waiting' || state === 'aside');
        watched.closed = true;
        const back = watched.lanes.close();
        expect(back.map(({ number }) => number)).toEqual(unstarted.map(({ number }) => number));
        for (const item of back) item.state = 'returned';
        for (const plan of all) expect(watched.push(plan)).toBe(false);
        await watched.clock.advanceAsync(END_MS);
        await watched.lanes.idle();
        expect(watched.violations.filter((each) => !each.includes('overtook'))).toEqual([]);
        expect(watched.arrived.every(({ state }) => state === 'finished' || state === 'returned')).toBe(true);
        expect([watched.lanes.running, watched.lanes.size, watched.clock.pending]).toEqual([0, 0, 0]);
      }),
      { numRuns: 300 },
    );
  });
});

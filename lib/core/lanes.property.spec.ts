import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ManualClock, microtasks } from '../../test/support/manual-clock.js';
import { sleep } from './clock.js';
import { Lanes, type Slot } from './lanes.js';

/** Runs for a while, or parks for a while. */
type Step = { readonly kind: 'work' | 'park'; readonly ms: number };
interface Plan {
  readonly key: string | undefined;
  readonly arrivesAt: number;
  readonly steps: readonly Step[];
  readonly fails: boolean;
}

const step: fc.Arbitrary<Step> = fc.record({ kind: fc.constantFrom('work', 'park'), ms: fc.nat(6) });
const plans: fc.Arbitrary<Plan[]> = fc.array(
  fc.record({
    key: fc.constantFrom('a', 'b', 'c', undefined),
    arrivesAt: fc.nat(12),
    steps: fc.array(step, { maxLength: 4 }),
    fails: fc.boolean(),
  }),
  { maxLength: 20 },
);
const concurrencies = fc.integer({ min: 1, max: 4 });
const END_MS = 12 + 20 * 4 * 6 + 1;

class Item {
  state: 'waiting' | 'running' | 'parked' | 'finished' | 'returned' = 'waiting';
  parkedUntil = 0;
  woken: boolean[] = [];
  readonly failure = new Error('failed on purpose');
  constructor(
    readonly number: number,
    readonly plan: Plan,
  ) {}
}

/** Lanes under watch: what an item does is written down, and what must never be is noticed as it happens. */
class Watched {
  readonly clock = new ManualClock();
  readonly arrived: Item[] = [];
  readonly errors: unknown[] = [];
  readonly violations: string[] = [];
  readonly lanes: Lanes<Item>;
  closed = false;

  constructor(readonly concurrency: number) {
    this.lanes = new Lanes<Item>({
      concurrency,
      clock: this.clock,
      run: (item, slot) => this.#run(item, slot),
      onError: (error) => this.errors.push(error),
    });
  }

  push(plan: Plan): boolean {
    const item = new Item(this.arrived.length, plan);
    if (!this.closed) this.arrived.push(item);
    return this.lanes.push(item, plan.key);
  }

  /** What could make use of a place now: the first unfinished item of each key, unless parked, and all without a key. */
  runnable(): number {
    const open = this.arrived.filter((item) => item.state !== 'finished');
    const first = open.filter(
      ({ number, plan }) =>
        plan.key === undefined || !open.some((other) => other.plan.key === plan.key && other.number < number),
    );
    return first.filter((item) => item.state !== 'parked' || item.parkedUntil <= this.clock.now()).length;
  }

  async #run(item: Item, slot: Slot): Promise<void> {
    const { key, steps, fails } = item.plan;
    const before = this.arrived.filter((other) => other.plan.key === key && other.number < item.number);
    if (key !== undefined && before.some((other) => other.state !== 'finished'))
      this.#violated(`${item.number} overtook`);
    if (item.state !== 'waiting') this.#violated(`${item.number} started twice`);
    if (this.closed) this.#violated(`${item.number} started after close`);
    item.state = 'running';
    this.#count();
    for (const { kind, ms } of steps) {
      if (kind === 'work') await sleep(this.clock, ms);
      else if (!(await this.#park(item, slot, ms))) break;
    }
    item.state = 'finished';
    if (fails) throw item.failure;
  }

  async #park(item: Item, slot: Slot, ms: number): Promise<boolean> {
    item.state = 'parked';
    item.parkedUntil = this.clock.now() + ms;
    const goOn = await slot.park(ms);
    item.state = 'running';
    item.woken.push(goOn);
    if (goOn !== !this.closed) this.#violated(`${item.number} was told ${goOn}`);
    if (goOn && this.clock.now() < item.parkedUntil) this.#violated(`${item.number} woke early`);
    this.#count();
    return goOn;
  }

  #count(): void {
    if (this.closed) return;
    const running = this.arrived.filter((item) => item.state === 'running').length;
    if (Math.max(running, this.lanes.running) > this.concurrency) this.#violated(`${running} ran`);
  }

  #violated(what: string): void {
    this.violations.push(`${what} at ${this.clock.now()} ms`);
  }
}

describe('Lanes, with any keys, durations, failures and parks', () => {
  it('keep order per key, never exceed the concurrency, leave no place unused, and finish everything', async () => {
    await fc.assert(
      fc.asyncProperty(concurrencies, plans, async (concurrency, all) => {
        const watched = new Watched(concurrency);
        for (let ms = 0; ms < END_MS && (ms <= 12 || watched.lanes.size > 0); ms++) {
          for (const plan of all) if (plan.arrivesAt === ms) expect(watched.push(plan)).toBe(true);
          await watched.clock.advanceAsync(0);
          expect(watched.lanes.running).toBe(Math.min(concurrency, watched.runnable()));
          expect(watched.lanes.size).toBe(watched.arrived.filter(({ state }) => state !== 'finished').length);
          await watched.clock.advanceAsync(1);
        }
        await watched.lanes.idle();
        expect(watched.violations).toEqual([]);
        expect(watched.arrived.map(({ state }) => state)).toEqual(all.map(() => 'finished'));
        expect(watched.errors).toHaveLength(all.filter(({ fails }) => fails).length);
        expect(new Set(watched.errors)).toEqual(
          new Set(watched.arrived.filter(({ plan }) => plan.fails).map(({ failure }) => failure)),
        );
        expect([watched.lanes.running, watched.lanes.size, watched.clock.pending]).toEqual([0, 0, 0]);
      }),
      { numRuns: 200 },
    );
  });

  it('give back exactly what never started when closed at any moment, in order per key, and become idle', async () => {
    await fc.assert(
      fc.asyncProperty(concurrencies, plans, fc.nat(40), async (concurrency, all, closeAt) => {
        const watched = new Watched(concurrency);
        for (let ms = 0; ms <= closeAt; ms++) {
          for (const plan of all) if (plan.arrivesAt === ms) watched.push(plan);
          await watched.clock.advanceAsync(ms === closeAt ? 0 : 1);
        }
        const unstarted = watched.arrived.filter(({ state }) => state === 'waiting');
        const parked = watched.arrived.filter(({ state }) => state === 'parked');
        watched.closed = true;
        const back = watched.lanes.close();
        expect(new Set(back)).toEqual(new Set(unstarted));
        expect(back).toHaveLength(unstarted.length);
        for (const key of ['a', 'b', 'c', undefined]) {
          const ofKey = (item: Item): boolean => item.plan.key === key;
          expect(back.filter(ofKey).map(({ number }) => number)).toEqual(
            unstarted.filter(ofKey).map(({ number }) => number),
          );
        }
        for (const item of back) item.state = 'returned';
        for (const plan of all) expect(watched.push(plan)).toBe(false);
        await microtasks();
        expect(parked.map(({ woken }) => woken.at(-1))).toEqual(parked.map(() => false));
        await watched.clock.advanceAsync(END_MS);
        await watched.lanes.idle();
        expect(watched.violations).toEqual([]);
        expect(watched.arrived.every(({ state }) => state === 'finished' || state === 'returned')).toBe(true);
        expect([watched.lanes.running, watched.lanes.size, watched.clock.pending]).toEqual([0, 0, 0]);
      }),
      { numRuns: 200 },
    );
  });
});

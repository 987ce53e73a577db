import type { Clock } from './clock.js';
import { Fifo } from './fifo.js';
import { Lanes, type Slot } from './lanes.js';
import type { Limit } from './limit.js';
import type { BatchOptions } from './subscription.js';

export interface BatchLanesOptions<T> extends BatchOptions {
  /** How many batches, and items by themselves, run at the same time; parked ones do not count. */
  readonly concurrency: number;
  /** As in {@link Lanes}: of batches, and items by themselves. */
  readonly limit?: Limit | undefined;
  /** Whether an item cannot be part of a batch. */
  readonly isAlone: (item: T) => boolean;
  /** Must not throw. Returns the items that have to run by themselves then, in order; their keys stay held until they have. */
  readonly runBatch: (items: readonly T[], slot: Slot) => Promise<readonly T[]>;
  /** As in {@link Lanes}. Also called for what a batch returns once closed, with a slot that says so. */
  readonly run: (item: T, slot: Slot) => Promise<void>;
  readonly onError: (error: unknown) => void;
  readonly clock: Clock;
}

interface Entry<T> {
  readonly item: T;
  readonly lane: Lane<T>;
  readonly number: number;
  readonly arrivedAt: number;
}

/** The items of one key, or one item without a key. */
interface Lane<T> {
  readonly key: string | undefined;
  readonly waiting: Fifo<Entry<T>>;
  /** How many of the first that wait may be in the next batch; above 0, the lane is among the ready ones. */
  eligible: number;
  /** How many are in a running batch, or go by themselves: the key is held meanwhile. */
  running: number;
}

/** What takes a place: the next batch, or an item by itself. */
type Job<T> = 'batch' | Entry<T>;

/**
 * Items in batches, ordered per key. A batch starts when `size` items may run, or the oldest of them has waited for
 * `waitMs`. It may hold several items of a key, in order; a key is in one batch at a time, and what follows it waits.
 */
export class BatchLanes<T> {
  readonly #lanes = new Map<string, Lane<T>>();
  /** Lanes with items for the next batch. Keys take turns: those that became ready first come first. */
  readonly #ready = new Fifo<Lane<T>>();
  readonly #jobs: Lanes<Job<T>>;
  readonly #idle = new Set<() => void>();
  #arrivals = 0;
  #unfinished = 0;
  #eligible = 0;
  /** When the oldest eligible item has waited long enough. */
  #dueAt = Infinity;
  #timer: { readonly at: number; readonly cancel: () => void } | undefined;
  /** Whether a batch waits for a place. It takes its items when it gets one: by then there may be more. */
  #batchWaits = false;
  #closed = false;

  constructor(private readonly options: BatchLanesOptions<T>) {
    const { concurrency, limit, clock, onError } = options;
    this.#jobs = new Lanes({
      ...{ concurrency, limit, clock, onError },
      run: (job, slot) => (job === 'batch' ? this.#runBatch(slot) : this.#runAlone(job, slot)),
    });
  }

  /** Batches, and items by themselves, that hold a place right now. */
  get running(): number {
    return this.#jobs.running;
  }

  /** Items pushed and not finished: waiting, running or parked. */
  get size(): number {
    return this.#unfinished;
  }

  /** Returns `false`, and takes nothing, once closed. */
  push(item: T, key?: string): boolean {
    if (this.#closed) return false;
    this.#unfinished++;
    const lane = this.#laneOf(key);
    lane.waiting.push({ item, lane, number: this.#arrivals++, arrivedAt: this.options.clock.now() });
    if (lane.running > 0) return true;
    if (lane.eligible === 0) this.#advance(lane);
    else if (lane.eligible === lane.waiting.size - 1 && !this.options.isAlone(item)) this.#addEligible(lane, 1);
    this.#startOrWait();
    return true;
  }

  /** Starts nothing more, wakes what is parked, and returns the items that never started, in order of arrival. */
  close(): T[] {
    if (this.#closed) return [];
    this.#closed = true;
    this.#setTimer(undefined);
    const unstarted = this.#jobs.close().filter((job) => job !== 'batch');
    for (const lane of [...this.#lanes.values(), ...this.#ready]) unstarted.push(...lane.waiting.clear());
    this.#finished(unstarted.length);
    return unstarted.sort(byArrival).map(({ item }) => item);
  }

  /** Resolves when nothing is waiting, running or parked. */
  async idle(): Promise<void> {
    if (this.#unfinished === 0) return;
    await new Promise<void>((resolve) => this.#idle.add(resolve));
  }

  #laneOf(key: string | undefined): Lane<T> {
    const known = key === undefined ? undefined : this.#lanes.get(key);
    if (known !== undefined) return known;
    const lane: Lane<T> = { key, waiting: new Fifo(), eligible: 0, running: 0 };
    if (key !== undefined) this.#lanes.set(key, lane);
    return lane;
  }

  /** Lets a lane that nothing holds go on: its first item by itself, or those up to one that goes by itself in a batch. */
  #advance(lane: Lane<T>): void {
    const first = lane.waiting.peek();
    if (first === undefined) {
      if (lane.key !== undefined) this.#lanes.delete(lane.key);
    } else if (this.options.isAlone(first.item)) {
      lane.waiting.shift();
      lane.running++;
      this.#jobs.push(first, lane.key);
    } else {
      let eligible = 0;
      for (const { item } of lane.waiting) {
        if (this.options.isAlone(item)) break;
        eligible++;
      }
      this.#ready.push(lane);
      this.#addEligible(lane, eligible);
      this.#dueAt = Math.min(this.#dueAt, this.#dueAtOf(lane));
    }
  }

  #addEligible(lane: Lane<T>, count: number): void {
    lane.eligible += count;
    this.#eligible += count;
  }

  /** Starts a batch if one is due; else sees to it that one starts when it is. */
  #startOrWait(): void {
    if (this.#closed) return;
    const { size, clock } = this.options;
    const due = this.#eligible >= size || (this.#eligible > 0 && this.#dueAt <= clock.now());
    if (due && !this.#batchWaits) {
      this.#batchWaits = true;
      this.#jobs.push('batch');
    }
    this.#setTimer(this.#batchWaits || this.#eligible === 0 ? undefined : this.#dueAt);
  }

  #setTimer(at: number | undefined): void {
    if (at === this.#timer?.at) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (at === undefined) return;
    const { clock } = this.options;
    const cancel = clock.after(at - clock.now(), () => {
      this.#timer = undefined;
      // By the clock it may be a moment too early.
      this.#dueAt = -Infinity;
      this.#startOrWait();
    });
    this.#timer = { at, cancel };
  }

  async #runBatch(slot: Slot): Promise<void> {
    this.#batchWaits = false;
    const entries = new Map(this.#take().map((entry) => [entry.item, entry]));
    this.#startOrWait();
    const alone = await this.#tryBatch([...entries.keys()], slot);
    for (const item of alone) {
      const entry = entries.get(item) as Entry<T>;
      entries.delete(item);
      // Lanes that are closed take nothing more, but what has begun has to be brought to its end.
      if (!this.#jobs.push(entry, entry.lane.key)) await this.#runAlone(entry, slot);
    }
    for (const { lane } of entries.values()) this.#leave(lane);
    this.#startOrWait();
  }

  async #tryBatch(items: readonly T[], slot: Slot): Promise<readonly T[]> {
    try {
      return await this.options.runBatch(items, slot);
    } catch (error) {
      this.options.onError(error);
      return [];
    }
  }

  async #runAlone({ item, lane }: Entry<T>, slot: Slot): Promise<void> {
    try {
      await this.options.run(item, slot);
    } catch (error) {
      this.options.onError(error);
    }
    this.#leave(lane);
    this.#startOrWait();
  }

  /** The items of the next batch, in order of arrival. Their lanes are held from now on. */
  #take(): Entry<T>[] {
    const { size } = this.options;
    const taken: Entry<T>[] = [];
    for (let lane = this.#ready.peek(); lane !== undefined && taken.length < size; lane = this.#ready.peek()) {
      this.#ready.shift();
      const count = Math.min(lane.eligible, size - taken.length);
      for (let index = 0; index < count; index++) taken.push(lane.waiting.shift() as Entry<T>);
      lane.running += count;
      this.#addEligible(lane, -lane.eligible);
    }
    this.#dueAt = Infinity;
    for (const lane of this.#ready) this.#dueAt = Math.min(this.#dueAt, this.#dueAtOf(lane));
    return taken.sort(byArrival);
  }

  /** One item of the lane is done. */
  #leave(lane: Lane<T>): void {
    lane.running--;
    this.#finished(1);
    if (lane.running === 0) this.#advance(lane);
  }

  #dueAtOf({ waiting }: Lane<T>): number {
    return (waiting.peek()?.arrivedAt ?? Infinity) + this.options.waitMs;
  }

  #finished(count: number): void {
    this.#unfinished -= count;
    if (this.#unfinished > 0) return;
    for (const resolve of this.#idle) resolve();
    this.#idle.clear();
  }
}

const byArrival = (a: { readonly number: number }, b: { readonly number: number }): number => a.number - b.number;

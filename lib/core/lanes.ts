import type { Clock } from './clock.js';
import { Fifo } from './fifo.js';
import { UNLIMITED, type Limit } from './limit.js';

/** The place an item runs in. */
export interface Slot {
  /**
   * Gives the place to another key for `delayMs`, then waits for a free one. The item's own key stays held, so what
   * follows it in order keeps waiting. Resolves `false` when the lanes are closed meanwhile: stop, without an outcome.
   */
  park(delayMs: number): Promise<boolean>;
  /** Aborted when the lanes close. */
  readonly closing: AbortSignal;
}

export interface LanesOptions<T> {
  /** How many items run at the same time; parked ones do not count. */
  readonly concurrency: number;
  /** Lowers the concurrency while it is lower; also what was parked waits for it. Default: none. */
  readonly limit?: Limit | undefined;
  /** Must not throw; what it does throw is handed to `onError` and the lane goes on. */
  readonly run: (item: T, slot: Slot) => Promise<void>;
  readonly onError: (error: unknown) => void;
  readonly clock: Clock;
}

interface Lane<T> {
  readonly key: string | undefined;
  readonly items: Fifo<T>;
}

/**
 * Ordered per key, concurrent across keys. Items of one key run one after another in the order they came; items of
 * different keys, and items without a key, run side by side up to `concurrency`. Keys take turns, so none starves.
 */
export class Lanes<T> {
  readonly #lanes = new Map<string, Lane<T>>();
  /** What waits for a place: a lane with its next item, or a parked item whose time has come. */
  readonly #ready = new Fifo<() => void>();
  readonly #closing = new AbortController();
  readonly #slot: Slot;
  readonly #limit: Limit;
  readonly #leaveLimit: () => void;
  /** Wakes what is parked. A listener each on the one signal would look like a leak to Node. */
  readonly #parked = new Set<() => void>();
  readonly #idle = new Set<() => void>();
  #running = 0;
  #unfinished = 0;
  #unstarted: T[] = [];

  constructor(private readonly options: LanesOptions<T>) {
    this.#slot = { closing: this.#closing.signal, park: (delayMs) => this.#park(delayMs) };
    this.#limit = options.limit ?? UNLIMITED;
    this.#leaveLimit = this.#limit.onChange(() => this.#fill());
  }

  /** Items that hold a place right now. */
  get running(): number {
    return this.#running;
  }

  /** Items pushed and not finished: waiting, running or parked. */
  get size(): number {
    return this.#unfinished;
  }

  /** Returns `false`, and takes nothing, once closed. */
  push(item: T, key?: string): boolean {
    if (this.#closing.signal.aborted) return false;
    this.#unfinished++;
    const lane = key === undefined ? undefined : this.#lanes.get(key);
    if (lane !== undefined) {
      lane.items.push(item);
      return true;
    }
    const fresh: Lane<T> = { key, items: new Fifo() };
    fresh.items.push(item);
    if (key !== undefined) this.#lanes.set(key, fresh);
    this.#ready.push(() => void this.#runNext(fresh));
    this.#fill();
    return true;
  }

  /** Starts nothing more, wakes what is parked, and returns the items that never started, in order of arrival per key. */
  close(): T[] {
    this.#closing.abort();
    this.#leaveLimit();
    for (const wake of this.#parked) wake();
    this.#parked.clear();
    for (const lane of this.#lanes.values()) this.#giveBack(lane.items.clear());
    for (const start of this.#ready.clear()) start();
    return this.#unstarted.splice(0);
  }

  /** Resolves when nothing is waiting, running or parked. */
  async idle(): Promise<void> {
    if (this.#unfinished === 0) return;
    await new Promise<void>((resolve) => this.#idle.add(resolve));
  }

  #fill(): void {
    while (this.#running < this.options.concurrency && this.#running < this.#limit.now) {
      const start = this.#ready.shift();
      if (start === undefined) return;
      start();
    }
  }

  async #runNext(lane: Lane<T>): Promise<void> {
    if (this.#closing.signal.aborted) return this.#giveBack(lane.items.clear());
    const item = lane.items.shift() as T;
    this.#running++;
    try {
      await this.options.run(item, this.#slot);
    } catch (error) {
      this.options.onError(error);
    }
    this.#running--;
    if (lane.items.size > 0) this.#ready.push(() => void this.#runNext(lane));
    else if (lane.key !== undefined) this.#lanes.delete(lane.key);
    this.#finished(1);
    this.#fill();
  }

  async #park(delayMs: number): Promise<boolean> {
    const { signal } = this.#closing;
    if (signal.aborted) return false;
    this.#running--;
    this.#fill();
    await new Promise<void>((resolve) => {
      const resume = (): void => {
        this.#running++;
        resolve();
      };
      const cancel = this.options.clock.after(delayMs, () => {
        this.#parked.delete(wake);
        this.#ready.push(resume);
        this.#fill();
      });
      const wake = (): void => {
        cancel();
        resume();
      };
      this.#parked.add(wake);
    });
    return !signal.aborted;
  }

  #giveBack(items: T[]): void {
    this.#unstarted.push(...items);
    this.#finished(items.length);
  }

  #finished(count: number): void {
    this.#unfinished -= count;
    if (this.#unfinished > 0) return;
    for (const resolve of this.#idle) resolve();
    this.#idle.clear();
  }
}

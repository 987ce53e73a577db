import { setImmediate as macrotask } from 'node:timers/promises';
import type { Clock } from '../../lib/core/clock.js';

interface Timer {
  readonly dueAt: number;
  readonly callback: () => void;
}

/** A clock that stands still until a test advances it. */
export class ManualClock implements Clock {
  readonly #timers = new Set<Timer>();
  #now: number;

  /** `startMs`: milliseconds since the Unix epoch. */
  constructor(startMs = 0) {
    this.#now = startMs;
  }

  /** Timers that have neither run nor been cancelled. */
  get pending(): number {
    return this.#timers.size;
  }

  now(): number {
    return this.#now;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer: Timer = { dueAt: this.#now + Math.max(0, delayMs), callback };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** Runs what falls due within `ms`, by time, then in the order of its start; also what starts meanwhile. */
  advance(ms: number): void {
    const until = this.#now + ms;
    while (this.#runNext(until));
    this.#now = until;
  }

  /** As {@link advance}; what waits for promises goes on before the first timer and after each. */
  async advanceAsync(ms: number): Promise<void> {
    const until = this.#now + ms;
    do await microtasks();
    while (this.#runNext(until));
    this.#now = until;
  }

  #runNext(until: number): boolean {
    let next: Timer | undefined;
    for (const timer of this.#timers) if (next === undefined || timer.dueAt < next.dueAt) next = timer;
    if (next === undefined || next.dueAt > until) return false;
    this.#timers.delete(next);
    this.#now = Math.max(this.#now, next.dueAt);
    next.callback();
    return true;
  }
}

/** Resolves when everything that waited only for promises has run. */
export async function microtasks(): Promise<void> {
  await macrotask();
}

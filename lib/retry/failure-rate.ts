import type { BreakerRate } from '../core/retry-options.js';

/** Parts of the window: old attempts leave it one part at a time. */
const PARTS = 10;

/** How many of the last attempts failed, in a window that slides. */
export class FailureRate {
  readonly #partMs: number;
  readonly #attempts = new Array<number>(PARTS).fill(0);
  readonly #failures = new Array<number>(PARTS).fill(0);
  /** The number of the newest part, counted from the epoch. */
  #newest = 0;

  constructor(private readonly rate: BreakerRate) {
    this.#partMs = Math.max(1, rate.windowMs / PARTS);
  }

  /** Counts an attempt. Returns whether there are too many failures now. */
  add(failed: boolean, now: number): boolean {
    this.#slide(Math.floor(now / this.#partMs));
    const part = this.#newest % PARTS;
    this.#attempts[part] = (this.#attempts[part] ?? 0) + 1;
    if (!failed) return false;
    this.#failures[part] = (this.#failures[part] ?? 0) + 1;
    const attempts = sum(this.#attempts);
    return attempts >= this.rate.minimum && sum(this.#failures) >= this.rate.failures * attempts;
  }

  clear(): void {
    this.#attempts.fill(0);
    this.#failures.fill(0);
  }

  #slide(to: number): void {
    if (to - this.#newest >= PARTS) this.clear();
    else {
      for (let part = this.#newest + 1; part <= to; part++) {
        this.#attempts[part % PARTS] = 0;
        this.#failures[part % PARTS] = 0;
      }
    }
    // A clock that was set back counts into the part that is the newest.
    this.#newest = Math.max(this.#newest, to);
  }
}

const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);

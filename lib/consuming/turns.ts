import type { Clock } from '../core/clock.js';
import { Fifo } from '../core/fifo.js';

/** One after another, in the order they came. A turn that lasts too long does not hold up the next one for good. */
export class Turns {
  readonly #waiting = new Fifo<() => void>();
  #taken = false;

  constructor(
    private readonly clock: Clock,
    /** After so long the next one has its turn, whether this one has ended or not. */
    private readonly longestMs: number,
  ) {}

  /** Resolves with what ends the turn, or with `undefined` when one of the signals aborts first. */
  async take(signals: readonly AbortSignal[]): Promise<(() => void) | undefined> {
    if (this.#taken && !(await this.#wait(signals))) return undefined;
    this.#taken = true;
    return this.#begin();
  }

  #begin(): () => void {
    let over = false;
    const end = (): void => {
      if (over) return;
      over = true;
      cancel();
      this.#next();
    };
    const cancel = this.clock.after(this.longestMs, end);
    return end;
  }

  /** The turn is handed over, never free in between: nobody gets in ahead of those that wait. */
  #next(): void {
    const start = this.#waiting.shift();
    if (start === undefined) this.#taken = false;
    else start();
  }

  #wait(signals: readonly AbortSignal[]): Promise<boolean> {
    return new Promise((resolve) => {
      const giveUp = new AbortController();
      const { signal } = giveUp;
      this.#waiting.push(() => {
        if (signal.aborted) return this.#next();
        giveUp.abort();
        resolve(true);
      });
      const leave = (): void => {
        giveUp.abort();
        resolve(false);
      };
      if (signals.some(({ aborted }) => aborted)) return leave();
      for (const each of signals) each.addEventListener('abort', leave, { once: true, signal });
    });
  }
}

import type { Report } from './activity.js';
import type { Clock } from './clock.js';

/** How long nothing more may be taken, without anything being settled, before it is told. */
const PATIENCE_MS = 200;

export interface IntakeWatchOptions {
  readonly clock: Clock;
  readonly report: Report;
  /** Whether nothing more is taken for now. */
  readonly isFull: () => boolean;
  readonly about: {
    readonly transport: string;
    readonly group: string;
    /** Topic and partition, or queue. */
    readonly place: string;
  };
}

/** Tells when intake has come to a stop because too much is in flight, and when it goes on. One that is only busy is not told. */
export class IntakeWatch {
  #cancel: (() => void) | undefined;
  #settledSince = false;
  #paused = false;
  #closed = false;

  constructor(private readonly options: IntakeWatchOptions) {}

  /** Something was taken in. */
  taken(): void {
    if (this.#cancel === undefined && !this.#paused && !this.#closed && this.options.isFull()) this.#wait();
  }

  /** Something in flight was settled or given back. */
  settled(): void {
    this.#settledSince = true;
    if (this.#paused && !this.options.isFull()) this.#resume();
  }

  /** Nothing is taken any more, for another reason. */
  close(): void {
    this.#closed = true;
    this.#cancel?.();
    this.#cancel = undefined;
    if (this.#paused) this.#resume();
  }

  #wait(): void {
    this.#settledSince = false;
    this.#cancel = this.options.clock.after(PATIENCE_MS, () => {
      this.#cancel = undefined;
      if (!this.options.isFull()) return;
      if (this.#settledSince) return this.#wait();
      this.#paused = true;
      this.options.report({ type: 'intake-paused', ...this.options.about });
    });
  }

  #resume(): void {
    this.#paused = false;
    this.options.report({ type: 'intake-resumed', ...this.options.about });
  }
}

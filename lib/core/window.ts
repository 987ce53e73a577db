import { Waiters } from './waiters.js';
import { Watermark, type WatermarkEntry } from './watermark.js';

export interface WindowLimits {
  /** How many deliveries may be above the watermark. */
  readonly maxDeliveries: number;
  /** How many bytes they may hold. One delivery always fits, however large. */
  readonly maxBytes: number;
}

/**
 * How much may be in flight above the watermark: what bounds memory, and how much is delivered again after a crash.
 * A parked delivery counts; when the window is full, intake waits.
 */
export class Window<P> {
  readonly #watermark = new Watermark<P>();
  readonly #waiting = new Waiters();

  constructor(private readonly limits: WindowLimits) {}

  get position(): P | undefined {
    return this.#watermark.position;
  }

  get size(): number {
    return this.#watermark.size;
  }

  get full(): boolean {
    return this.size > 0 && (this.size >= this.limits.maxDeliveries || this.#watermark.bytes >= this.limits.maxBytes);
  }

  enter(position: P, bytes: number): WatermarkEntry<P> {
    return this.#watermark.add(position, bytes);
  }

  /** Returns whether the watermark moved. */
  settle(entry: WatermarkEntry<P>): boolean {
    const moved = this.#watermark.settle(entry);
    if (moved && !this.full) this.#waiting.wake();
    return moved;
  }

  /** Resolves when there is room, or when the signal aborts. */
  async room(signal: AbortSignal): Promise<void> {
    while (this.full && !signal.aborted) await this.#waiting.wait(signal);
  }
}

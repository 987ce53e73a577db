import { Fifo } from './fifo.js';

/** One position in flight. Hand it back to {@link Watermark.settle} once its outcome is final. */
export interface WatermarkEntry<P> {
  readonly position: P;
  readonly bytes: number;
  readonly settled: boolean;
}

interface Entry<P> extends WatermarkEntry<P> {
  settled: boolean;
}

/**
 * The highest position below which everything is settled: what may be committed or acknowledged in one go.
 * Positions are added in the broker's order (gaps are fine) and settled in any order.
 */
export class Watermark<P> {
  readonly #entries = new Fifo<Entry<P>>();
  #position: P | undefined;
  #bytes = 0;

  /** The last position of the settled stretch; `undefined` before the first. */
  get position(): P | undefined {
    return this.#position;
  }

  /** How many positions are above the watermark, settled or not. */
  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(position: P, bytes = 0): WatermarkEntry<P> {
    const entry: Entry<P> = { position, bytes, settled: false };
    this.#entries.push(entry);
    this.#bytes += bytes;
    return entry;
  }

  /** Settling twice is harmless. Returns whether the watermark moved. */
  settle(entry: WatermarkEntry<P>): boolean {
    (entry as Entry<P>).settled = true;
    let moved = false;
    for (let lowest = this.#entries.peek(); lowest?.settled === true; lowest = this.#entries.peek()) {
      this.#entries.shift();
      this.#bytes -= lowest.bytes;
      this.#position = lowest.position;
      moved = true;
    }
    return moved;
  }
}

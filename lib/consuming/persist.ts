import { doubled } from '../core/doubling.js';
import type { Slot } from '../core/lanes.js';

export interface Persisting {
  readonly slot: Slot;
  readonly lost: AbortSignal;
  /** Told of each try that failed. */
  readonly failed: (error: unknown, nextTryMs: number) => void;
}

const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 10_000;

/**
 * Tries until it has worked; meanwhile only the delivery's key is held. `undefined`: the consumer closes, or the delivery
 * is lost, first.
 */
export async function persist<T>(write: () => Promise<T>, persisting: Persisting): Promise<{ value: T } | undefined> {
  const { slot, lost, failed } = persisting;
  for (let failures = 0; ; failures++) {
    try {
      return { value: await write() };
    } catch (error) {
      const waitMs = doubled(FIRST_WAIT_MS, failures, LONGEST_WAIT_MS);
      failed(error, waitMs);
      if (!(await slot.park(waitMs)) || lost.aborted) return undefined;
    }
  }
}

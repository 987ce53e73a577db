import type { IdempotencyStore } from '../idempotency/idempotency-store.js';

/** What one case runs against: records of its own, empty at first. */
export interface IdempotencyStoreHarness {
  /** Prepared. Let a simultaneous second call wait for 1,000 ms at most, so that the cases about waiting end. */
  readonly store: IdempotencyStore;
  /** Another one on the same records, as another process has it, prepared too. Leave it out for a store of one process. */
  readonly another?: () => IdempotencyStore | Promise<IdempotencyStore>;
  /**
   * Writes an effect the way a handler does inside `once`; without a constraint, so that a second one shows.
   * Leave `writeEffect` and `effects` out for a store that has no transaction with its effects.
   */
  readonly writeEffect?: (name: string) => Promise<void>;
  /** The effects that are committed, as an onlooker sees them; a name as often as it was written. */
  readonly effects?: () => Promise<string[]>;
  /** Called after the case, whatever came of it. */
  close?(): unknown;
}

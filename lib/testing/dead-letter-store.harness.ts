import type { DeadLetterStore } from '../dead-letter/dead-letter-store.js';

/** What one case runs against: a store of its own, empty at first. */
export interface DeadLetterStoreHarness {
  /** Prepared. */
  readonly store: DeadLetterStore;
  /** Another one on the same dead letters, as another process has it, prepared too. */
  readonly another: () => DeadLetterStore | Promise<DeadLetterStore>;
  /** Called after the case, whatever came of it. */
  close?(): unknown;
}

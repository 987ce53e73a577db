import type { OutboxStore } from '../outbox/outbox-store.js';

/** What one case runs against: an outbox of its own, empty at first. */
export interface OutboxStoreHarness {
  /** Prepared. */
  readonly store: OutboxStore;
  /** Another one on the same entries, as another process has it, prepared too. Leave it out for a store of one process. */
  readonly another?: () => OutboxStore | Promise<OutboxStore>;
  /**
   * Runs `work` in a transaction of the application's own and hands it what {@link OutboxStore.enrol} takes as `manager`;
   * commits when it resolves, rolls back when it rejects. Several may be open at once. Leave it out for a store that only
   * knows `transactional()`.
   */
  readonly transaction?: <T>(work: (manager: unknown) => Promise<T>) => Promise<T>;
  /** What `enrol` must refuse as `manager`: the database itself, a transaction that is over, one of another database. */
  readonly notTransactions?: () => readonly unknown[] | Promise<readonly unknown[]>;
  /** Called after the case, whatever came of it. */
  close?(): unknown;
}

import type { Envelope } from '../core/envelope.js';
import type { StoreEnvironment } from '../core/store.js';

/** An event that is to be published if and only if a transaction commits. */
export interface OutboxEntry {
  readonly envelope: Envelope;
  /** The name of the transport it goes to. */
  readonly transport: string;
}

export interface RelayResult {
  readonly published: number;
  readonly failed: number;
  /** Whether more entries may be due right now. */
  readonly more: boolean;
}

/**
 * Keeps events beside the effect that caused them, in one transaction.
 *
 * What an implementation must do:
 * - `enrol` writes within the caller's transaction, and refuses a handle that is not an open transaction of its database;
 * - entries with the same key are handed to the relay in the order their transactions committed; an entry whose
 *   transaction commits late is not skipped, one whose transaction rolls back is never seen;
 * - an entry is forgotten only after `publish` resolved for it; one that fails holds back only its own key.
 */
export interface OutboxStore {
  /** Called once at start, before anything is published. */
  prepare(): Promise<void>;
  /** Whether the running code is inside a transaction that this store can write in: a handler's own, or `transactional()`. */
  isTransactionOpen(): boolean;
  /**
   * @param manager the caller's transaction (for TypeORM its EntityManager); the running one when absent.
   * Throws EVENTS_TRANSACTION_REQUIRED for a handle that is not an open transaction.
   */
  enrol(entries: readonly OutboxEntry[], manager?: unknown): Promise<void>;
  /** Runs `work` in a transaction that everything inside takes part in, `publish` included. */
  transactional<T>(work: () => Promise<T>): Promise<T>;
  /** Publishes up to `limit` due entries in order. At most one relay of a database is at work at a time. */
  relay(limit: number, publish: (entry: OutboxEntry) => Promise<void>): Promise<RelayResult>;
  /** Calls back after a transaction with entries has committed in this process. */
  onCommitted(listener: () => void): void;
  /** Called once at the end, when nothing is published any more. */
  close?(): void;
}

/** What `typeormOutbox()` and its likes return: options, nothing started. */
export interface OutboxDefinition {
  create(environment: StoreEnvironment): OutboxStore;
}

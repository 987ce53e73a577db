import type { Envelope } from '../core/envelope.js';
import type { StoreEnvironment } from '../core/store.js';

/** An event that is to be published if and only if a transaction commits. */
export interface OutboxEntry {
  readonly envelope: Envelope;
  /** The name of the transport it goes to. */
  readonly transport: string;
  /** Publish it no earlier than so long after it was enrolled. */
  readonly delayMs?: number;
  /** Publish it no earlier than this, by the database's clock. At most one of the two is given. */
  readonly notBefore?: Date;
}

/** An entry that a relay has taken, to publish it. */
export interface TakenEntry {
  /** What was enrolled. Throws EVENTS_UNDECODABLE when what is stored is no envelope. */
  read(): Envelope;
  /** The same for entries that go out one after another; `undefined` for one that waits for no other. */
  readonly line: string | undefined;
  /** How often it has failed. */
  readonly failures: number;
}

/** What became of an entry that was taken. */
export type Relayed =
  /** Confirmed: forget it, or keep it as published. */
  | { readonly type: 'published' }
  /** Not tried, or in doubt, and not to blame: leave it as it is, to be taken again. */
  | { readonly type: 'left' }
  /** Count the failure, keep the error, and do not hand it over earlier than that. It holds back its line. */
  | { readonly type: 'failed'; readonly error: string; readonly retryAfterMs: number }
  /** Count the failure, keep the error, and take it out of its line, which goes on without it. */
  | { readonly type: 'parked'; readonly error: string };

export interface RelayRequest {
  /** Only entries of this transport. */
  readonly transport: string;
  /** How many entries to take at most. */
  readonly limit: number;
  /** `publish` has resolved by then; whoever has held its entries for longer must lose them. */
  readonly leaseMs: number;
  /** Called once, unless nothing is due. Resolves with what became of each entry, by position; it never rejects. */
  publish(entries: readonly TakenEntry[]): Promise<readonly Relayed[]>;
}

export interface RelayResult {
  /** How many entries were handed to `publish`. */
  readonly taken: number;
  /** Whether it is worth looking again at once. */
  readonly more: boolean;
  /** When the next entry that waits for its time is due, in milliseconds from now. */
  readonly nextDueInMs: number | undefined;
}

/** How much is in the outbox. Counts stop at 100,000, so that asking stays cheap. */
export interface OutboxLag {
  /** Due and not yet published: those in line, those that failed and come again, and those behind them. */
  readonly waiting: number;
  /** How long the oldest of those has waited. */
  readonly oldestAgeMs: number | undefined;
  /** Enrolled for a later time that has not come. */
  readonly delayed: number;
  /** Taken out after too many failures; somebody has to decide about them. */
  readonly parked: number;
}

export interface ParkedEvent {
  readonly id: string;
  readonly event: string;
  readonly transport: string;
  readonly attempts: number;
  /** Of the last attempt. */
  readonly error: string;
  readonly enrolledAt: Date;
  readonly parkedAt: Date;
  /** `undefined` when what is stored is no envelope. */
  readonly envelope: Envelope | undefined;
}

export interface ParkedQuery {
  /** Default 100. */
  readonly limit?: number;
  /** Default 0. */
  readonly offset?: number;
}

/**
 * Keeps events beside the effect that caused them, in one transaction, until a relay has published them.
 *
 * A **line** is the entries of one key on one transport, in the order their transactions committed. An entry without a
 * key, or with a time of its own (`delayMs`, `notBefore`), is in no line: it waits for no other and holds back none.
 *
 * What an implementation must do:
 * - `enrol` writes within the caller's transaction; it refuses a handle that is not an open transaction of its own
 *   database, and writes nothing when one of the entries has no stored form;
 * - an entry is handed over only after its transaction committed, however late that is; one whose transaction rolled
 *   back is never handed over. Transactions that enrol the same key must therefore take turns from the first `enrol` to
 *   their end, and two that enrol the same keys in another order in one call must not deadlock;
 * - an entry is held by one `relay` call at a time, over all processes. A call whose process or connection dies, or
 *   that lasts longer than `leaseMs`, loses its entries as they were, and another call gets them. The entries of a line
 *   are held together: two calls never have entries of one line at the same time;
 * - the entries of a line are handed over in order, in one call or over several, and none while an earlier one has
 *   failed and waits. A parked entry no longer counts;
 * - an entry with a time of its own is not handed over before, by the database's clock, from the first attempt on;
 * - the answers of `publish` take effect together, before `relay` resolves. When they cannot, because the connection breaks
 *   or the database crashes, the entries are handed over again, with the same ids: `publish` happens at least once;
 * - entries of other transports than asked for are not touched: another process may have that transport;
 * - looking must stay cheap while nothing is due: empty, everything delayed, or everything behind an entry that failed.
 *
 * What is not its part: publishing, timeouts, how long to wait after a failure, when to park, polling.
 */
export interface OutboxStore {
  /** Whose transactions it writes in, once it is prepared: those of handlers, if the idempotency store has the same. */
  readonly database?: unknown;
  /** Called once at start, before anything is published. */
  prepare(): Promise<void>;
  /** Whether the running code is inside a transaction that this store can write in: a handler's own, or `transactional()`. */
  isTransactionOpen(): boolean;
  /**
   * @param manager the caller's transaction (for TypeORM its EntityManager); the running one when absent.
   * Throws EVENTS_TRANSACTION_REQUIRED for a handle that is not an open transaction, EVENTS_TRANSACTION_ENDED when the
   * running one is over.
   */
  enrol(entries: readonly OutboxEntry[], manager?: unknown): Promise<void>;
  /** Runs `work` in a transaction that everything inside takes part in, `publish` included. */
  transactional<T>(work: () => Promise<T>): Promise<T>;

  /** Hands due entries of one transport to `publish`, and makes its answers durable. May run several times at once. */
  relay(request: RelayRequest): Promise<RelayResult>;
  /**
   * Calls back when entries of these transports may have become due: after a commit in this process, and, where the
   * store can tell, in others (then perhaps without knowing the transports). A hint only: relays look by themselves too.
   * The returned function ends it.
   */
  watch(listener: (transports: readonly string[] | undefined) => void): () => Promise<void>;
  /** The transports that entries wait for. */
  transports(): Promise<readonly string[]>;
  /** Called now and then while a relay runs: removes what was kept for long enough, in bounded pieces, until the signal aborts. */
  clean?(signal: AbortSignal): Promise<void>;

  lag(): Promise<OutboxLag>;
  /** Oldest first. */
  parked(query: ParkedQuery): Promise<ParkedEvent[]>;
  /** Puts parked events back, their failures forgotten, to be published at once. Returns how many there were. */
  release(ids: readonly string[]): Promise<number>;
  /** Deletes parked events. Returns how many there were. */
  discard(ids: readonly string[]): Promise<number>;

  /** Called once at the end, when nothing is published any more. */
  close?(): void;
}

/** How an application relays; a store's factory takes these among its own options. */
export interface RelaySettings {
  /** How long to wait before looking again when nothing called for it, in milliseconds. Default 500. */
  readonly pollMs?: number | undefined;
  /** How many events are taken at a time. Default 1,000. */
  readonly batchSize?: number | undefined;
  /** An event that failed so often is parked. Default 10. */
  readonly parkAfter?: number | undefined;
}

/** What `typeormOutbox()` and its likes return: options, nothing started. */
export interface OutboxDefinition {
  create(environment: StoreEnvironment): OutboxStore;
  /** `false`: this application only enrols, another one relays. Default: it relays, with the default settings. */
  readonly relay?: RelaySettings | false;
}

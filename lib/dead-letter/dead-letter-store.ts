import type { RedriveOutcome } from '../core/activity.js';
import type { DeadLetter, DeadLetterReason } from '../core/dead-letter.js';
import type { ParkedKeys } from '../core/parked-keys.js';
import type { StoreEnvironment } from '../core/store.js';

/**
 * Where a dead letter stands.
 * - `waiting`: for an operator. `following`: behind a waiting one of its key (`afterDeadLetter: 'park-key'`).
 * - `requested`: to be redriven. `running`: with its handler now.
 * - `redriven`, `discarded`, `replaced` (by an edited one): done with.
 */
export type DeadLetterState = 'waiting' | 'following' | 'requested' | 'running' | 'redriven' | 'discarded' | 'replaced';

/** A dead letter with what has become of it. */
export interface StoredDeadLetter extends DeadLetter {
  readonly state: DeadLetterState;
  /** When it came here, RFC 3339. */
  readonly storedAt: string;
  /** How often it was redriven. */
  readonly redrives: number;
  /** The latest redrive that it is, or was, part of. */
  readonly redriveId?: string;
  /** The dead letter that was edited to make this one, or that was made of this one. */
  readonly replaces?: string;
  readonly replacedBy?: string;
}

/** Which dead letters. Everything given must match. */
export interface DeadLetterCriteria {
  readonly ids?: readonly string[];
  readonly group?: string;
  readonly handler?: string;
  /** A name, or a pattern with `*` and `#`. */
  readonly event?: string;
  readonly eventId?: string;
  readonly key?: string;
  /** The error's code or class. */
  readonly error?: string;
  readonly reason?: DeadLetterReason;
  readonly transport?: string;
  /** Default: those that are not done with (`waiting`, `following`, `requested`, `running`). */
  readonly state?: DeadLetterState | readonly DeadLetterState[];
  /** By the last failure: from this time on, and before that one. */
  readonly from?: Date | string;
  readonly to?: Date | string;
}

export interface DeadLetterPageRequest {
  /** How many at most, from 1 to 1,000. Default 100. */
  readonly limit?: number;
  /** The `next` of the page before. */
  readonly after?: string;
}

/** Oldest first. */
export interface DeadLetterPage {
  readonly items: readonly StoredDeadLetter[];
  /** For the next page; absent on the last. */
  readonly next?: string;
}

/** Who asks, and why: kept in the audit. */
export interface Operator {
  readonly by: string;
  readonly note?: string;
}

export interface RedriveRequest extends Operator {
  /** How many dead letters a second at most, over all instances. Default: as fast as the handler takes them. */
  readonly ratePerSecond?: number;
}

/** A redrive under way or over. */
export interface Redrive extends Operator {
  readonly id: string;
  readonly state: 'running' | 'done' | 'aborted';
  readonly requestedAt: string;
  readonly finishedAt?: string;
  readonly ratePerSecond?: number;
  /** How many dead letters it has, and where they stand. */
  readonly total: number;
  readonly pending: number;
  readonly handled: number;
  /** Those the handler had handled before. */
  readonly duplicates: number;
  readonly dropped: number;
  /** Dead letters again. */
  readonly failed: number;
  /** Taken out by an abort before they ran. */
  readonly aborted: number;
}

/** Oldest first. */
export interface RedrivePage {
  readonly items: readonly Redrive[];
  readonly next?: string;
}

/** What became of one dead letter of a redrive. */
export interface RedriveResult {
  readonly letter: string;
  readonly event?: string;
  readonly eventId?: string;
  readonly result: RedriveOutcome | 'pending' | 'aborted';
  /** Of one that failed. */
  readonly error?: { readonly code: string; readonly message: string };
  readonly at?: string;
}

export interface RedriveResultPage {
  readonly items: readonly RedriveResult[];
  readonly next?: string;
}

/** One thing that was done about a dead letter. */
export interface DeadLetterAction extends Operator {
  readonly at: string;
  readonly action: 'stored' | 'requested' | 'aborted' | 'discarded' | 'replaced' | RedriveOutcome;
  readonly redriveId?: string;
  readonly error?: { readonly code: string; readonly message: string };
}

/** A dead letter that this process is to hand to its handler. It is nobody else's until the lease is over. */
export interface ClaimedDeadLetter {
  readonly letter: DeadLetter;
  readonly redriveId: string;
}

export interface ClaimRequest {
  /** `<group>.<handler id>` of the handlers that run here, former ids included. */
  readonly consumers: readonly string[];
  readonly limit: number;
  /** The claiming process. */
  readonly by: string;
  readonly leaseMs: number;
}

export interface SettledClaim {
  readonly letter: string;
  readonly result: RedriveOutcome;
  /** How it failed this time: its error, attempts and times replace the old ones. */
  readonly failure?: DeadLetter;
}

/** What operators do with dead letters. */
export interface DeadLetterDesk {
  list(filter: DeadLetterCriteria, page: DeadLetterPageRequest): Promise<DeadLetterPage>;
  count(filter: DeadLetterCriteria): Promise<number>;
  get(id: string): Promise<StoredDeadLetter | undefined>;
  /** Oldest first. */
  history(id: string): Promise<readonly DeadLetterAction[]>;
  /** Requests all that are waiting and match, at once or not at all. */
  request(filter: DeadLetterCriteria, request: RedriveRequest): Promise<Redrive>;
  /** Puts an edited event in the place of a waiting dead letter, and requests it. Throws EVENTS_DEAD_LETTER_STATE. */
  replace(id: string, edited: DeadLetter, request: RedriveRequest): Promise<Redrive>;
  redrive(id: string): Promise<Redrive | undefined>;
  redrives(page: DeadLetterPageRequest): Promise<RedrivePage>;
  results(redriveId: string, page: DeadLetterPageRequest): Promise<RedriveResultPage>;
  /** What has not begun is waiting again. Throws EVENTS_REDRIVE_NOT_FOUND. */
  abort(redriveId: string, operator: Operator): Promise<Redrive>;
  /** Done with, without an effect: all that are waiting and match. Returns how many. */
  discard(filter: DeadLetterCriteria, operator: Operator): Promise<number>;
}

/** How processes share what operators have asked for. */
export interface DeadLetterClaims {
  /** What is to be redriven here, now. */
  claim(request: ClaimRequest): Promise<readonly ClaimedDeadLetter[]>;
  /** Keeps claims for another lease. Returns those that still are this process's. */
  extend(letters: readonly string[], claim: Pick<ClaimRequest, 'by' | 'leaseMs'>): Promise<readonly string[]>;
  /** What became of a claim. Of one that was lost meanwhile, nothing changes. */
  settle(claim: SettledClaim, by: string): Promise<void>;
  /** Gives claims back that have not run. */
  release(letters: readonly string[], by: string): Promise<void>;
}

/**
 * Keeps dead letters and what is done about them.
 *
 * What an implementation must do:
 * - keep body, headers and key exactly, and one dead letter once, however often it is added (by its id);
 * - let two operators, or two claiming processes, never have the same dead letter;
 * - hand out those of a key (of one consumer) one at a time, in the order they were added, also across processes;
 * - with a parked key: hold back those that follow until the first is redriven, discarded or replaced and that one redriven;
 *   then request them by themselves, in order; when one of them fails, the rest follow it;
 * - lose nothing when a process ends at any point: what it had claimed is handed out again after the lease.
 */
export interface DeadLetterStore extends ParkedKeys, DeadLetterDesk, DeadLetterClaims {
  /** Called once at start. */
  prepare(): Promise<void>;
  /** Keeps dead letters that landed with a broker. One that is done with and fails anew is waiting again. */
  add(letters: readonly DeadLetter[]): Promise<void>;
  close?(): void;
}

/** What `typeormDeadLetters()` and its likes return: options, nothing started. */
export interface DeadLetterStoreDefinition {
  create(environment: StoreEnvironment): DeadLetterStore;
}

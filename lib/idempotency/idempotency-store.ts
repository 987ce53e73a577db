import type { OnMissingId } from '../core/missing-id.js';
import type { StoreEnvironment } from '../core/store.js';

export interface IdempotencyKey {
  /** `<group>.<handler id>`: the same event has one effect per consumer. */
  readonly consumer: string;
  /** Former names of the consumer, whose records count too. */
  readonly aliases: readonly string[];
  /** What makes two deliveries the same: the event's id, or the handler's own key (see `keyOf`). Kept exactly as given. */
  readonly eventId: string;
}

export type OnceResult<T> = { readonly duplicate: true } | { readonly duplicate: false; readonly value: T };

export interface OnceAllResult<T> {
  /** Positions of the keys that were new, in order. */
  readonly fresh: readonly number[];
  /** What the effect returned; `undefined` when nothing was new, and it did not run. */
  readonly value: T | undefined;
}

/**
 * Remembers which events a consumer has handled.
 *
 * What an implementation must do:
 * - write the key first, then run the effect, and make both durable together or not at all;
 * - let a second, simultaneous call with the same key wait for the first (bounded, then EVENTS_DUPLICATE_BUSY), then
 *   skip the effect, or run it if the first failed. Never look first and insert later;
 * - forget the key when the effect throws, and rethrow that error as it was.
 */
export interface IdempotencyStore {
  /** Whose transactions its effects are in, once it is prepared: an outbox takes part in them if it has the same. */
  readonly database?: unknown;
  /** How long a handled event is remembered, in milliseconds; `undefined`: for ever, or nobody can say. */
  readonly retentionMs?: number | undefined;
  /** Called once at start, before anything is handled. */
  prepare(): Promise<void>;
  once<T>(key: IdempotencyKey, effect: () => Promise<T>): Promise<OnceResult<T>>;
  /**
   * `once` for several keys of one consumer: one effect for those that are new, which gets their positions. All of them
   * become durable with it, or none. A key that occurs twice is new the first time. Two calls with the same keys in
   * different order must not wait for each other.
   */
  onceAll<T>(
    keys: readonly IdempotencyKey[],
    effect: (fresh: readonly number[]) => Promise<T>,
  ): Promise<OnceAllResult<T>>;
  /** Called once when the application runs: what the store does now and then may begin. */
  start?(): void;
  /** Called once before {@link close}: ends what {@link start} began, soon. */
  stop?(): Promise<void>;
  /** Called once at the end, when nothing is handled any more. */
  close?(): void;
}

/** What `typeormIdempotency()` and its likes return: options, nothing started. */
export interface IdempotencyDefinition {
  /** What becomes of an event without an id. Default `dead-letter`. */
  readonly onMissingId?: OnMissingId | undefined;
  create(environment: StoreEnvironment): IdempotencyStore;
}

export const IDEMPOTENCY_STORE = Symbol('nestjs-events.idempotency-store');

import type { StoreEnvironment } from '../core/store.js';

export interface IdempotencyKey {
  /** `<group>.<handler id>`: the same event has one effect per consumer. */
  readonly consumer: string;
  /** Former names of the consumer, whose records count too. */
  readonly aliases: readonly string[];
  /** The event's id, exactly as given. */
  readonly eventId: string;
}

export type OnceResult<T> = { readonly duplicate: true } | { readonly duplicate: false; readonly value: T };

/**
 * Remembers which events a consumer has handled.
 *
 * What an implementation must do:
 * - write the key first, then run the effect, and make both durable together or not at all;
 * - let a second, simultaneous call with the same key wait for the first (bounded), then skip the effect, or run it if
 *   the first failed. Never look first and insert later;
 * - forget the key when the effect throws, and rethrow that error as it was.
 */
export interface IdempotencyStore {
  /** Called once at start, before anything is handled. */
  prepare(): Promise<void>;
  once<T>(key: IdempotencyKey, effect: () => Promise<T>): Promise<OnceResult<T>>;
  /** Called once at the end, when nothing is handled any more. */
  close?(): void;
}

/** What `typeormIdempotency()` and its likes return: options, nothing started. */
export interface IdempotencyDefinition {
  create(environment: StoreEnvironment): IdempotencyStore;
}

export const IDEMPOTENCY_STORE = Symbol('nestjs-events.idempotency-store');

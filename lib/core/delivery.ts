import type { Envelope } from './envelope.js';
import type { Headers } from './headers.js';
import type { FinalOutcome, Outcome } from './outcome.js';
import type { Subscription } from './subscription.js';

/** Where an event came from, in the broker's words. */
export interface Place {
  /** The transport's name. */
  readonly transport: string;
  /** Topic, or exchange and routing key. */
  readonly address: string;
  readonly partition?: number;
  /** Offset or message id, as text: Kafka's offsets have 64 bits. */
  readonly position?: string;
  /** When it was published, by the broker's word: whole milliseconds since the Unix epoch. */
  readonly timestamp?: number;
}

/** What arrived, untouched: what a dead letter keeps. */
export interface RawEvent {
  readonly place: Place;
  readonly body: Uint8Array | null;
  readonly headers: Headers;
  readonly key?: Uint8Array;
}

/** One attempt to hand an envelope over to one handler, from arrival to settling. */
export interface Delivery {
  readonly subscription: Subscription;
  /** The decoded event, or why the bytes could not be decoded. */
  readonly content: { readonly envelope: Envelope } | { readonly undecodable: unknown };
  readonly raw: RawEvent;
  /** The broker has handed this event over before. */
  readonly redelivered: boolean;
  /** The broker does not tell: it may have been handed over before although {@link redelivered} is `false`. Default false. */
  readonly mayBeRedelivered?: boolean;
  /** It cannot be part of a batch. Default false. */
  readonly alone?: boolean;
  /** Aborted when the delivery no longer belongs to this process (partition revoked, channel closed): do not settle it. */
  readonly lost: AbortSignal;
  /** The outcome is durable: the broker may forget the event. Call it once, with the outcome for those that keep it. */
  acknowledge(outcome?: FinalOutcome): void;
  /** Hand it back without an outcome, to be delivered again. Call it instead of {@link acknowledge}. */
  release(): void;
}

export function envelopeOf(delivery: Delivery): Envelope | undefined {
  return 'envelope' in delivery.content ? delivery.content.envelope : undefined;
}

/** Deliveries of one handler that have the same follow each other; `undefined`: its order does not matter. */
export function laneKeyOf(delivery: Delivery): string | undefined {
  return delivery.subscription.ordering === 'key' ? envelopeOf(delivery)?.key : undefined;
}

/** What the failures of a delivery have been so far. */
export interface DeliveryHistory {
  /** Attempts that count, the current one included. From 1. */
  readonly attempt: number;
  /** Runs in a row that failed for a broken dependency and do not count. */
  readonly dependencyFailures: number;
  /** Runs in a row that do not count for another reason: a conflict with another transaction. */
  readonly conflicts: number;
  /** Milliseconds since the Unix epoch. */
  readonly firstFailureAt?: number;
  /** The same of the first failure since it last waited for a dependency: an outage does not count as time spent on it. */
  readonly retryingSince?: number;
}

/** One run of the pipeline for a delivery that could be decoded. */
export interface Attempt extends DeliveryHistory {
  readonly delivery: Delivery;
  readonly envelope: Envelope;
  readonly subscription: Subscription;
  /** Aborted when the delivery is lost or shutdown's deadline has passed: stop working, the outcome will not count. */
  readonly signal: AbortSignal;
  /** Notes of the interceptors and filters about this attempt, so that a second application is a no-op. */
  readonly notes: Set<string>;
}

/** Decides what follows a failure. Pure; the retry room implements it, filters and the consumer ask it. */
export interface FailurePolicy {
  decide(error: unknown, history: DeliveryHistory & { readonly subscription: Subscription }): Outcome;
}

/** The injection token of the {@link FailurePolicy}. */
export const FAILURE_POLICY = Symbol('nestjs-events.failure-policy');

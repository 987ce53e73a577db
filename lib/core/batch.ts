import type { Attempt, Delivery, DeliveryHistory } from './delivery.js';
import type { Envelope } from './envelope.js';
import type { Subscription } from './subscription.js';

/** One run of the pipeline for several deliveries of a batch handler. A delivery that runs by itself is a batch of one. */
export interface BatchAttempt extends DeliveryHistory {
  readonly subscription: Subscription;
  /** All deliveries of the batch, in order per key. */
  readonly deliveries: readonly Delivery[];
  /** What the handler gets: the envelopes of all deliveries, until {@link handOver} has said which of them. */
  readonly envelopes: readonly Envelope[];
  /**
   * Aborted when shutdown's deadline has passed, or one of the deliveries is lost: stop working. Those that are not lost
   * are handed over again.
   */
  readonly signal: AbortSignal;
  /** Notes of the interceptors and filters about this attempt, so that a second application is a no-op. */
  readonly notes: Set<string>;
  /**
   * Narrows {@link envelopes}, in place, to the deliveries at these positions: the others have been handled before. To be
   * called before the handler is.
   */
  handOver(positions: readonly number[]): void;
}

/** One run of the pipeline, of either kind. */
export type AnyAttempt = Attempt | BatchAttempt;

export function isBatch(attempt: AnyAttempt): attempt is BatchAttempt {
  return 'handOver' in attempt;
}

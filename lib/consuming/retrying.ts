import type { Report } from '../core/activity.js';
import type { Delivery, DeliveryHistory } from '../core/delivery.js';
import type { RetryOutcome } from '../core/outcome.js';
import { about } from './settle.js';

export const FIRST_ATTEMPT: DeliveryHistory = { attempt: 1, dependencyFailures: 0, conflicts: 0 };

/** Broken dependencies and conflicts use up no attempt; what does ends their rows. */
export function afterFailure(history: DeliveryHistory, decided: RetryOutcome, now: number): DeliveryHistory {
  const { attempt, dependencyFailures, conflicts, firstFailureAt = now, retryingSince = now } = history;
  if (decided.counts)
    return { attempt: attempt + 1, dependencyFailures: 0, conflicts: 0, firstFailureAt, retryingSince };
  return decided.dependency
    ? { attempt, conflicts, firstFailureAt, dependencyFailures: dependencyFailures + 1 }
    : { attempt, dependencyFailures, firstFailureAt, retryingSince, conflicts: conflicts + 1 };
}

export interface Retrying {
  readonly history: DeliveryHistory;
  readonly decided: RetryOutcome;
}

export function reportRetry(delivery: Delivery, { history, decided }: Retrying, report: Report): void {
  const { afterMs, dependency, counts, error } = decided;
  report({ type: 'retried', attempt: history.attempt, afterMs, dependency, counts, error, ...about(delivery) });
}

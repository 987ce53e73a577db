import type { DeliveryHistory, FailurePolicy } from '../core/delivery.js';
import { outcome, type Outcome } from '../core/outcome.js';
import type { BackoffOptions, RetryOptions } from '../core/retry-options.js';
import type { Subscription } from '../core/subscription.js';
import { backoffMs } from './backoff.js';
import { kindOf } from './error-kinds.js';

/** min(2^n × 100 ms, 5 s) between four attempts: the article's figures. */
export const DEFAULT_RETRY: RetryOptions = {
  attempts: 4,
  backoff: { type: 'exponential', initialMs: 100, maxMs: 5_000, jitter: true },
};

/** Between tries of a broken dependency: they do not count, so they go on until it is back. */
const DEPENDENCY_BACKOFF: BackoffOptions = { type: 'exponential', initialMs: 100, maxMs: 5_000, jitter: true };

/** Between tries that met another transaction: by then it has ended, mostly. */
const CONFLICT_BACKOFF: BackoffOptions = { type: 'exponential', initialMs: 10, maxMs: 1_000, jitter: true };
/** Conflicts in a row after which they count like any failure: two handlers that never get past each other are a mistake. */
const MAX_CONFLICTS = 20;

/** The one place that decides what follows a failure. */
export class RetryPolicy implements FailurePolicy {
  /** @param optionsOf the retry options of a handler, completed with the module's. */
  constructor(private readonly optionsOf: (subscription: Subscription) => RetryOptions) {}

  decide(error: unknown, history: DeliveryHistory & { readonly subscription: Subscription }): Outcome {
    switch (kindOf(error)) {
      case 'permanent':
        return outcome.deadLetter(error);
      case 'dependency':
        return outcome.retry(error, {
          afterMs: backoffMs(DEPENDENCY_BACKOFF, history.dependencyFailures + 1),
          dependency: true,
        });
      case 'conflict': {
        const conflicts = history.conflicts + 1;
        if (conflicts > MAX_CONFLICTS) return this.#again(error, history);
        return outcome.retry(error, { afterMs: backoffMs(CONFLICT_BACKOFF, conflicts), counts: false });
      }
      case 'transient':
        return this.#again(error, history);
    }
  }

  #again(error: unknown, history: DeliveryHistory & { readonly subscription: Subscription }): Outcome {
    const { attempts, backoff } = this.optionsOf(history.subscription);
    if (history.attempt >= attempts) return outcome.deadLetter(error);
    return outcome.retry(error, { afterMs: backoffMs(backoff, history.attempt) });
  }
}

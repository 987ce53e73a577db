import { systemClock, type Clock } from '../core/clock.js';
import type { DeliveryHistory, FailurePolicy } from '../core/delivery.js';
import { codeOf, messageOf } from '../core/errors.js';
import { printable, type EventsLogger } from '../core/logger.js';
import { outcome, type Outcome } from '../core/outcome.js';
import type { BackoffOptions, RetryOptions, RetryRule } from '../core/retry-options.js';
import { consumerName, type Subscription } from '../core/subscription.js';
import { backoffMs } from './backoff.js';
import { kindOf } from './error-kinds.js';
import { ruleFor, type BrokenRule } from './retry-rules.js';

/** From one failed try of a broken dependency to the next: they do not count, so they go on until it is back. */
const DEPENDENCY_BACKOFF: BackoffOptions = { type: 'exponential', initialMs: 100, maxMs: 5_000, jitter: true };

/** min(2^n × 100 ms, 5 s) between four attempts: the article's figures. */
export const DEFAULT_RETRY: RetryOptions = {
  attempts: 4,
  backoff: { type: 'exponential', initialMs: 100, maxMs: 5_000, jitter: true },
  rules: [],
  breaker: { backoff: DEPENDENCY_BACKOFF },
  crashes: 3,
};

/** Between tries that met another transaction: by then it has ended, mostly. */
const CONFLICT_BACKOFF: BackoffOptions = { type: 'exponential', initialMs: 10, maxMs: 1_000, jitter: true };
/** Conflicts in a row after which they count like any failure: two handlers that never get past each other are a mistake. */
const MAX_CONFLICTS = 20;

/** What a decision depends on besides the error and the history. */
export interface Circumstances {
  readonly options: RetryOptions;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  /** From 0 to 1, for the jitter. */
  readonly random: () => number;
  readonly broken: BrokenRule;
}

/** What follows a failure: the first rule that matches decides, else the kind of the error. Pure. */
export function decide(error: unknown, history: DeliveryHistory, circumstances: Circumstances): Outcome {
  const rule = ruleFor(error, circumstances.options.rules, circumstances.broken);
  const failure = { error, history, circumstances };
  return rule === undefined ? byKind(failure) : byRule(failure, rule);
}

interface Failure {
  readonly error: unknown;
  readonly history: DeliveryHistory;
  readonly circumstances: Circumstances;
}

/** How long one failure may be tried again. */
type Patience = Pick<RetryOptions, 'attempts' | 'backoff' | 'maxElapsedMs'>;

function byKind(failure: Failure): Outcome {
  const { error, history, circumstances } = failure;
  const { options, random } = circumstances;
  switch (kindOf(error)) {
    case 'permanent':
      return outcome.deadLetter(error);
    case 'dependency':
      return waitForDependency(failure, 0);
    case 'busy':
      return outcome.retry(error, {
        afterMs: backoffMs(options.breaker.backoff, history.conflicts + 1, random),
        counts: false,
      });
    case 'conflict': {
      const conflicts = history.conflicts + 1;
      if (conflicts > MAX_CONFLICTS) return again(failure, options);
      return outcome.retry(error, { afterMs: backoffMs(CONFLICT_BACKOFF, conflicts, random), counts: false });
    }
    case 'transient':
      return again(failure, options);
  }
}

function byRule(failure: Failure, rule: RetryRule): Outcome {
  const { options } = failure.circumstances;
  const { attempts = options.attempts, maxElapsedMs = options.maxElapsedMs } = rule;
  const backoff = { ...options.backoff, ...rule.backoff };
  const patience: Patience = { attempts, backoff, ...(maxElapsedMs === undefined ? {} : { maxElapsedMs }) };
  switch (rule.action) {
    case 'dead-letter':
      return outcome.deadLetter(failure.error);
    case 'drop':
      return outcome.drop(`dropped by a rule of retry: ${codeOf(failure.error)}`, failure.error);
    case 'pause':
      return waitForDependency(failure, rule.pauseMs ?? 0);
    case 'retry-now':
      return again(failure, patience, 0);
    case 'back-off':
      return again(failure, patience);
  }
}

function waitForDependency({ error, history, circumstances }: Failure, leastMs: number): Outcome {
  const { options, random } = circumstances;
  const wait = backoffMs(options.breaker.backoff, history.dependencyFailures + 1, random);
  return outcome.retry(error, { afterMs: Math.max(wait, leastMs), dependency: true });
}

/** Another attempt, if there may be one, after `afterMs` or else the backoff. */
function again({ error, history, circumstances }: Failure, patience: Patience, afterMs?: number): Outcome {
  const { now, random } = circumstances;
  if (history.attempt >= patience.attempts) return outcome.deadLetter(error);
  const wait = afterMs ?? backoffMs(patience.backoff, history.attempt, random);
  const since = history.retryingSince ?? now;
  if (patience.maxElapsedMs !== undefined && now + wait - since > patience.maxElapsedMs) {
    return outcome.deadLetter(error);
  }
  return outcome.retry(error, { afterMs: wait });
}

/** The one place that decides what follows a failure: {@link decide} for the options of each handler. */
export class RetryPolicy implements FailurePolicy {
  /** @param optionsOf the retry options of a handler, completed with the module's. */
  constructor(
    private readonly optionsOf: (subscription: Subscription) => RetryOptions,
    private readonly clock: Clock = systemClock,
    private readonly logger?: Pick<EventsLogger, 'warn'>,
  ) {}

  decide(error: unknown, history: DeliveryHistory & { readonly subscription: Subscription }): Outcome {
    const { subscription } = history;
    return decide(error, history, {
      options: this.optionsOf(subscription),
      now: this.clock.now(),
      random: Math.random,
      broken: ({ action }, thrown) =>
        this.logger?.warn(
          `${consumerName(subscription)}: the "when" of a rule of retry ("${action}") threw ${printable(messageOf(thrown))} ` +
            `while it was asked about ${printable(messageOf(error))}; the rule does not count. A predicate must not throw.`,
        ),
    });
  }
}

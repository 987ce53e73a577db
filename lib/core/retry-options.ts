/** How long to wait before the next attempt. */
export interface BackoffOptions {
  /** `exponential`: initialMs × 2^(n−1), at most maxMs. `fixed`: always initialMs. `list`: one of delaysMs after the other. */
  readonly type: 'exponential' | 'fixed' | 'list';
  /** Milliseconds before the second attempt. Default 100. */
  readonly initialMs: number;
  /** Default 5,000. */
  readonly maxMs: number;
  /** Of a `list`: the waits in milliseconds; the last one repeats. */
  readonly delaysMs?: readonly number[];
  /** Lengthens each wait by up to a quarter, so that many do not come back at once. It never shortens one. Default true. */
  readonly jitter: boolean;
}

/**
 * What follows a failure.
 * - `retry-now`: another attempt without a wait.
 * - `back-off`: another attempt after the backoff.
 * - `dead-letter`: no more attempts.
 * - `drop`: acknowledged without an effect, and counted. Of a batch, only the events at fault.
 * - `pause`: the handler's breaker opens, as for a broken dependency; no attempt is used up.
 */
export type RetryAction = 'retry-now' | 'back-off' | 'dead-letter' | 'drop' | 'pause';

/** One rule: which errors it is about (everything given must match, at least one of class, code and when), and what follows. */
export interface RetryRule {
  /** Errors of this class, or caused by one. */
  readonly class?: abstract new (...args: never[]) => unknown;
  /** Errors with one of these codes, or caused by one: `code` of Node, PostgreSQL or this library, else the class's name. */
  readonly code?: string | readonly string[];
  /** Errors for which it returns true. It must not throw; a rule that throws does not match, and that is logged. */
  readonly when?: (error: unknown) => boolean;
  readonly action: RetryAction;
  /** In place of those of `retry`, for `retry-now` and `back-off`. */
  readonly attempts?: number;
  readonly backoff?: Partial<BackoffOptions>;
  readonly maxElapsedMs?: number;
  /** For `pause`: for how long at least, in milliseconds. Default: the breaker's. */
  readonly pauseMs?: number;
}

/** When a handler is paused because something it needs is away. */
export interface BreakerOptions {
  /** How long it stays open before one event tries; from one failed try to the next. Default: exponential, 100 ms to 5 s. */
  readonly backoff: BackoffOptions;
  /** Opens also for errors that use up attempts, where they are too many. Default: none. */
  readonly rate?: BreakerRate;
}

export interface BreakerRate {
  /** The share of failed attempts, above 0 and up to 1. */
  readonly failures: number;
  /** In the last so many milliseconds. Default 10,000. */
  readonly windowMs: number;
  /** Of at least so many attempts. Default 20. */
  readonly minimum: number;
}

export interface RetryOptions {
  /** How often a delivery is tried in all, the first time included. Default 4. */
  readonly attempts: number;
  readonly backoff: BackoffOptions;
  /**
   * No attempt is planned later than this after the first failure, in milliseconds. A wait for a broken dependency does
   * not count: after it the time begins anew. Default: no such limit.
   */
  readonly maxElapsedMs?: number;
  /** The first that matches decides; without one, the kind of the error does. Default: none. */
  readonly rules: readonly RetryRule[];
  readonly breaker: BreakerOptions;
  /** How often an event may end the process before it is a dead letter; needs `attempts: typeormAttempts()`. Default 3. */
  readonly crashes: number;
}

/** Some of the retry options; the others are those of the level above (handler → module → defaults). */
export interface RetryOverrides {
  readonly attempts?: number;
  readonly backoff?: Partial<BackoffOptions>;
  readonly maxElapsedMs?: number;
  readonly rules?: readonly RetryRule[];
  readonly breaker?: {
    readonly backoff?: Partial<BackoffOptions>;
    readonly rate?: Partial<BreakerRate> & Pick<BreakerRate, 'failures'>;
  };
  readonly crashes?: number;
}

const DEFAULT_RATE = { windowMs: 10_000, minimum: 20 };

/** The rules of `overrides` come first. */
export function mergeRetry(base: RetryOptions, overrides: RetryOverrides = {}): RetryOptions {
  const { attempts, backoff, maxElapsedMs = base.maxElapsedMs, rules = [], breaker, crashes } = overrides;
  const rate = breaker?.rate === undefined ? base.breaker.rate : { ...DEFAULT_RATE, ...breaker.rate };
  return {
    attempts: attempts ?? base.attempts,
    backoff: { ...base.backoff, ...backoff },
    ...(maxElapsedMs === undefined ? {} : { maxElapsedMs }),
    rules: [...rules, ...base.rules],
    breaker: {
      backoff: { ...base.breaker.backoff, ...breaker?.backoff },
      ...(rate === undefined ? {} : { rate }),
    },
    crashes: crashes ?? base.crashes,
  };
}

/** How long to wait before the next attempt. */
export interface BackoffOptions {
  /** `exponential`: initialMs × 2^(n−1), at most maxMs. `fixed`: always initialMs. */
  readonly type: 'exponential' | 'fixed';
  /** Milliseconds before the second attempt. Default 100. */
  readonly initialMs: number;
  /** Default 5,000. */
  readonly maxMs: number;
  /** Lengthens each wait by up to a quarter, so that many do not come back at once. It never shortens one. Default true. */
  readonly jitter: boolean;
}

export interface RetryOptions {
  /** How often a delivery is tried in all, the first time included. Default 4. */
  readonly attempts: number;
  readonly backoff: BackoffOptions;
}

/** Some of the retry options; the others are those of the level above (handler → module → defaults). */
export interface RetryOverrides {
  readonly attempts?: number;
  readonly backoff?: Partial<BackoffOptions>;
}

export function mergeRetry(base: RetryOptions, overrides: RetryOverrides = {}): RetryOptions {
  return {
    attempts: overrides.attempts ?? base.attempts,
    backoff: { ...base.backoff, ...overrides.backoff },
  };
}

import type { BackoffOptions } from '../core/retry-options.js';

const JITTER_SHARE = 0.25;

/** Milliseconds to wait after the `failures`-th failure in a row (from 1). */
export function backoffMs(backoff: BackoffOptions, failures: number, random: () => number = Math.random): number {
  // Past 2^30 the limit has long been reached; beyond 2^1023 it would be Infinity.
  const doubled = backoff.initialMs * 2 ** Math.min(Math.max(failures, 1) - 1, 30);
  const wait = Math.min(backoff.type === 'fixed' ? backoff.initialMs : doubled, backoff.maxMs);
  return Math.round(backoff.jitter ? wait * (1 + JITTER_SHARE * random()) : wait);
}

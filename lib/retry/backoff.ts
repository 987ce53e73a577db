import { doubled } from '../core/doubling.js';
import type { BackoffOptions } from '../core/retry-options.js';

const JITTER_SHARE = 0.25;

/** Milliseconds to wait after the `failures`-th failure in a row (from 1). */
export function backoffMs(backoff: BackoffOptions, failures: number, random: () => number = Math.random): number {
  const before = backoff.type === 'fixed' ? 0 : Math.max(failures, 1) - 1;
  const wait = doubled(backoff.initialMs, before, backoff.maxMs);
  return Math.round(backoff.jitter ? wait * (1 + JITTER_SHARE * random()) : wait);
}

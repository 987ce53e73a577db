import { doubled } from '../core/doubling.js';
import type { BackoffOptions } from '../core/retry-options.js';

const JITTER_SHARE = 0.25;

/** Milliseconds to wait after the `failures`-th failure in a row (from 1). */
export function backoffMs(backoff: BackoffOptions, failures: number, random: () => number = Math.random): number {
  const wait = plainMs(backoff, Math.max(failures, 1));
  return Math.round(backoff.jitter ? wait * (1 + JITTER_SHARE * random()) : wait);
}

function plainMs({ type, initialMs, maxMs, delaysMs = [] }: BackoffOptions, failures: number): number {
  switch (type) {
    case 'fixed':
      return Math.min(initialMs, maxMs);
    case 'exponential':
      return doubled(initialMs, failures - 1, maxMs);
    case 'list':
      return delaysMs[failures - 1] ?? delaysMs.at(-1) ?? initialMs;
  }
}

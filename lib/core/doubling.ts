/** Past 2^30 every limit has long been reached; beyond 2^1023 it would be Infinity. */
const MAX_DOUBLINGS = 30;

/** A wait that doubles with each failure before, up to a limit. */
export function doubled(firstMs: number, failuresBefore: number, limitMs: number): number {
  return Math.min(firstMs * 2 ** Math.min(failuresBefore, MAX_DOUBLINGS), limitMs);
}

import { createHash } from 'node:crypto';

/**
 * The number of an advisory lock, from what it protects: 64 bits of SHA-256, as text because JavaScript's numbers have 53.
 * Two things that share a number only wait for each other needlessly.
 */
export function lockNumber(...parts: readonly string[]): string {
  return digest(parts).readBigInt64BE().toString();
}

/** One of `count` (at most 256) equal shares that a text always falls into. */
export function shareOf(text: string, count: number): number {
  return digest([text]).readUInt8() % count;
}

function digest(parts: readonly string[]): Buffer {
  return createHash('sha256').update(JSON.stringify(parts)).digest();
}

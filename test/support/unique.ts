import { randomBytes } from 'node:crypto';

/** A word that no other test has: for domains, groups and ids, so that tests share a broker and nothing else. */
export function uniqueWord(prefix: string): string {
  return `${prefix}-${randomBytes(5).toString('hex')}`;
}

import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';

const read = (path: string): string => readFileSync(new URL(path, `file://${process.cwd()}/`), 'utf8');
const codes = (text: string, pattern: RegExp): string[] =>
  [...text.matchAll(pattern)].map((match) => match[1] as string);

describe('docs/errors.md', () => {
  it('has a row for each code, and no row for a code that does not exist', () => {
    const declared = codes(read('lib/core/errors.ts'), /\| '(EVENTS_[A-Z_]+)'/g);
    const documented = codes(read('docs/errors.md'), /^\| `(EVENTS_[A-Z_]+)`/gm);
    expect(declared.length).toBeGreaterThan(20);
    expect(documented.toSorted()).toEqual(declared.toSorted());
  });
});

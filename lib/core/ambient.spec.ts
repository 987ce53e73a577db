import { describe, expect, test } from '@jest/globals';
import { Ambient } from './ambient.js';

describe('Ambient', () => {
  test('is found across awaits, the innermost first, and each sees its own only', async () => {
    const one = new Ambient<string>();
    const other = new Ambient<string>();
    const seen = async (): Promise<unknown[]> => {
      await new Promise((resolve) => setImmediate(resolve));
      return [one.current(), other.current()];
    };
    const inside = one.run('a', () =>
      other.run('b', async () => [
        await seen(),
        await one.run('c', seen),
        await other.run(undefined, seen),
        await seen(),
      ]),
    );
    expect(await seen()).toEqual([undefined, undefined]);
    expect(await inside).toEqual([
      ['a', 'b'],
      ['c', 'b'],
      ['a', undefined],
      ['a', 'b'],
    ]);
  });

  test('does not keep what it hides', async () => {
    const one = new Ambient<object>();
    const other = new Ambient<string>();
    // Deep enough to overflow the stack if every level were kept.
    const deeper = async (level: number): Promise<string | undefined> => {
      if (level === 0) return other.current();
      await Promise.resolve();
      return one.run({}, () => deeper(level - 1));
    };
    expect(await other.run('kept', () => deeper(20_000))).toBe('kept');
  });
});

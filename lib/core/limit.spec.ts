import { describe, expect, it } from '@jest/globals';
import { lowest, SettableLimit, UNLIMITED } from './limit.js';

describe('a limit', () => {
  it('tells when it changes, and only then, until nobody listens', () => {
    const limit = new SettableLimit();
    const seen: number[] = [];
    const end = limit.onChange(() => seen.push(limit.now));
    const other = limit.onChange(() => seen.push(-1));
    for (const now of [Infinity, 0, 0, 1]) limit.set(now);
    end();
    limit.set(2);
    other();
    limit.set(3);
    expect(seen).toEqual([0, -1, 1, -1, -1]);
  });

  it('of several is the lowest of them, and changes with each', () => {
    const [one, two] = [new SettableLimit(), new SettableLimit(1)];
    const both = lowest(one, UNLIMITED, two);
    const seen: number[] = [];
    const end = both.onChange(() => seen.push(both.now));
    one.set(0);
    two.set(Infinity);
    one.set(Infinity);
    end();
    one.set(0);
    expect(seen).toEqual([0, 0, Infinity]);
    expect(both.now).toBe(0);
  });

  it('of one, or of none, costs nothing more', () => {
    const limit = new SettableLimit();
    expect(lowest(UNLIMITED, limit)).toBe(limit);
    expect(lowest(UNLIMITED, UNLIMITED)).toBe(UNLIMITED);
    expect(lowest()).toBe(UNLIMITED);
  });
});

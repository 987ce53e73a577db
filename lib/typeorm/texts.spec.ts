import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { lockNumber, shareOf } from './advisory-lock.js';
import { escapeText, isStorableText } from './postgres-text.js';

describe('escapeText', () => {
  test('is storable, and different texts stay different', () => {
    const text = fc.string({ unit: fc.constantFrom('a', '0', '\\', '\u0000', '😀') });
    fc.assert(
      fc.property(text, text, (a, b) => {
        expect(isStorableText(escapeText(a))).toBe(true);
        expect(escapeText(a) === escapeText(b)).toBe(a === b);
      }),
    );
  });
});

describe('lockNumber', () => {
  test('is a 64-bit number that stays the same, and differs by where the parts end', () => {
    expect(lockNumber('a', 'bc')).toBe(lockNumber('a', 'bc'));
    expect(lockNumber('a', 'bc')).not.toBe(lockNumber('ab', 'c'));
    const number = BigInt(lockNumber('a', 'bc'));
    expect(BigInt.asIntN(64, number)).toBe(number);
  });
});

describe('shareOf', () => {
  test('spreads keys over all shares, evenly', () => {
    const counts = new Map<number, number>();
    for (let n = 0; n < 6_400; n++) counts.set(shareOf(`key ${n}`, 64), (counts.get(shareOf(`key ${n}`, 64)) ?? 0) + 1);
    expect([...counts.keys()].toSorted((a, b) => a - b)).toEqual(Array.from({ length: 64 }, (_, share) => share));
    expect(Math.min(...counts.values())).toBeGreaterThan(50);
  });
});

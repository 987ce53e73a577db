import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { printable } from './logger.js';

const code = (character: string): number => character.codePointAt(0) as number;

describe('printable', () => {
  it('leaves ordinary text alone, in any script', () => {
    expect(printable('Größe "12" \\ 漢字 🙂')).toBe('Größe "12" \\ 漢字 🙂');
  });

  it.each([
    ['a line break', '\n', '\\n'],
    ['a carriage return', '\r', '\\r'],
    ['a tab', '\t', '\\t'],
    ['NUL', '\u0000', '\\u0000'],
    ['the escape that colours a terminal', '\u001b[31m', '\\u001b[31m'],
    ['DEL', '\u007f', '\\u007f'],
    ['a C1 line break', '\u0085', '\\u0085'],
    ['the one-character escape (CSI) that colours a terminal', '\u009b31m', '\\u009b31m'],
    ['Unicode’s line separator', '\u2028', '\\u2028'],
    ['Unicode’s paragraph separator', '\u2029', '\\u2029'],
    ['the character that turns what follows from right to left', '\u202e', '\\u202e'],
    ['an isolate, which does so too', '\u2067', '\\u2067'],
  ])('shows %s escaped', (_what, raw, shown) => expect(printable(`a${raw}b`)).toBe(`a${shown}b`));

  it('lets no control character through, whatever the text', () => {
    const controls = fc.constantFrom(
      ...Array.from({ length: 0xa0 }, (_, at) => String.fromCharCode(at)),
      '\u2028',
      '\u2029',
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(controls, fc.string({ unit: 'binary' }))), (parts) => {
        const dangerous = [...printable(parts.join(''))].filter((character) => {
          const at = code(character);
          return at < 0x20 || (at >= 0x7f && at < 0xa0) || at === 0x2028 || at === 0x2029;
        });
        expect(dangerous).toEqual([]);
      }),
    );
  });

  it('cuts what is too long, and shows that it did', () => {
    expect(printable('x'.repeat(500))).toBe('x'.repeat(500));
    expect(printable('x'.repeat(501))).toBe(`${'x'.repeat(500)}…`);
    expect(printable('abc', 2)).toBe('ab…');
  });
});

import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { HeaderValue } from '../core/headers.js';
import { headersFromJson, headersToJson } from './typeorm-letter-headers.js';

const text = fc.string({ unit: 'binary' });
const single = fc.oneof(text, fc.constantFrom('\u0000', '\ud800', '\\u0000', ''), fc.uint8Array());
const value = fc.oneof(single, fc.array(single));
const name = fc.oneof(text, fc.constantFrom('__proto__', 'constructor', '1', 'base64', 'ä'));

const hexed = (each: HeaderValue): unknown =>
  each instanceof Uint8Array
    ? { hex: Buffer.from(each).toString('hex') }
    : Array.isArray(each)
      ? each.map(hexed)
      : each;
const entries = (headers: object): unknown[] =>
  Object.entries(headers as Record<string, HeaderValue>).map(([key, each]) => [key, hexed(each)]);

test('headers come back exactly as they were, in their order, and pollute nothing', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value)), (pairs) => {
      const headers = Object.fromEntries(pairs);
      const back = headersFromJson(headersToJson(headers));
      expect(entries(back)).toEqual(entries(headers));
      expect(Object.getPrototypeOf(back)).toBeNull();
    }),
  );
});

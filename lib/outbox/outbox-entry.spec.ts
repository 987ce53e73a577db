import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createEnvelope } from '../core/envelope.js';
import { emptyHeaders } from '../core/headers.js';
import { envelopeFromJson, envelopeToJson } from './outbox-entry.js';

const envelope = (data: unknown, headers = {}) =>
  createEnvelope({ name: 'orders.order.placed', source: 'shop', data, headers });

describe('an envelope in the outbox', () => {
  test('comes back as it was', () => {
    const text = fc.string({ unit: 'grapheme' });
    const bytes = fc.uint8Array({ maxLength: 20 });
    const value = fc.oneof(text, bytes, fc.array(fc.oneof(text, bytes), { maxLength: 3 }));
    // Names that the serializer refuses on every way out.
    const json = fc.jsonValue().filter((data) => !/__proto__|constructor/.test(JSON.stringify(data)));
    const headers = fc.dictionary(
      fc.string({ unit: 'grapheme-ascii', minLength: 1 }).map((name) => `h${name}`),
      value,
    );
    fc.assert(
      fc.property(json, headers, (data, each) => {
        const before = envelope(data, each);
        const after = envelopeFromJson(envelopeToJson(before));
        expect(JSON.stringify(after.data)).toBe(JSON.stringify(data));
        expect(envelopeToJson(after)).toBe(envelopeToJson(before));
        expect({ ...after, data: 0, headers: 0 }).toEqual({ ...before, data: 0, headers: 0 });
      }),
    );
  });

  test('keeps bytes as bytes', () => {
    const after = envelopeFromJson(envelopeToJson(envelope(Uint8Array.of(0, 128, 255))));
    expect(after.data).toEqual(Buffer.from([0, 128, 255]));
  });

  test('cannot pollute prototypes, in data or headers', () => {
    const headers = emptyHeaders();
    headers['__proto__'] = 'text';
    const json = envelopeToJson({ ...envelope({}), headers }).replace(
      '"data":{}',
      '"data":{"__proto__":{"polluted":1}}',
    );
    const after = envelopeFromJson(json);
    expect(Object.getPrototypeOf(after.data)).toBe(Object.prototype);
    expect(Object.keys(after.headers)).toEqual(['__proto__']);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  test('no data is null, as on every transport', () => {
    expect(envelopeFromJson(envelopeToJson(envelope(undefined))).data).toBeNull();
  });

  test('refuses what is no envelope', () => {
    expect(() => envelopeFromJson('{"id":1}')).toThrow(expect.objectContaining({ code: 'EVENTS_UNDECODABLE' }));
  });
});

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { isEventsError } from './errors.js';
import { decodeUtf8, jsonSerializer, parseJson } from './serializer.js';

const { serialize, deserialize } = jsonSerializer;
const roundTrip = (data: unknown): unknown => {
  const { body, contentType } = serialize(data, 'a');
  return deserialize(body, contentType);
};
const utf8 = (text: string): Uint8Array => Buffer.from(text, 'utf8');
/** Names that a hostile document would use; see below. */
const harmless = (data: unknown): boolean => !/"__proto__"|"constructor"/.test(JSON.stringify(data));

describe('jsonSerializer', () => {
  it('brings JSON values back as they were', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }).filter(harmless), (data) => {
        expect(roundTrip(data)).toEqual(JSON.parse(JSON.stringify(data)));
      }),
    );
  });

  it('brings bytes back as they were, whatever they are', () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => expect(roundTrip(bytes)).toEqual(bytes)));
    expect(serialize(Uint8Array.of(1), 'a').contentType).toBe('application/octet-stream');
  });

  it('brings back half a surrogate pair, which JSON can escape', () => {
    expect(roundTrip('a\ud800')).toBe('a\ud800');
  });

  it('writes no data as null and dates as text', () => {
    expect(roundTrip(undefined)).toBeNull();
    expect(roundTrip(null)).toBeNull();
    expect(roundTrip({ at: new Date(0), gone: undefined })).toEqual({ at: '1970-01-01T00:00:00.000Z' });
  });

  const cycle: Record<string, unknown> = {};
  cycle['self'] = cycle;
  const throwing = {
    toJSON(): never {
      throw new Error('no form');
    },
  };
  it.each<[string, unknown, RegExp]>([
    ['a BigInt', { total: 1n }, /BigInt/],
    ['a cycle', cycle, /circular/],
    ['a function', () => 1, /a function has no JSON form/],
    ['a symbol', Symbol('s'), /a symbol has no JSON form/],
    ['what throws', throwing, /no form/],
  ])('refuses %s, naming the event and what to do', (_what, data, problem) => {
    const error = thrown(() => serialize(data, 'orders.order.placed'));
    if (!isEventsError(error, 'EVENTS_DATA_NOT_SERIALIZABLE')) throw error;
    expect(error.event).toBe('orders.order.placed');
    expect(error.message).toMatch(problem);
    expect(error.message).toMatch(
      /^the data cannot be written as JSON: .*\(event "orders.order.placed"\)\. Publish plain/s,
    );
  });

  it('refuses to publish what every reader would refuse as hostile', () => {
    for (const text of ['{"a":{"__proto__":{"b":1}}}', '{"constructor":{"prototype":{"b":1}}}']) {
      const error = thrown(() => serialize(JSON.parse(text), 'a'));
      expect(isEventsError(error, 'EVENTS_DATA_NOT_SERIALIZABLE')).toBe(true);
    }
    expect(roundTrip({ constructor: 'Lego', note: '"__proto__":' })).toEqual({
      constructor: 'Lego',
      note: '"__proto__":',
    });
  });

  it.each([
    ['application/json', { a: 1 }],
    ['application/json; charset=utf-8', { a: 1 }],
    ['Application/JSON', { a: 1 }],
    ['application/vnd.orders+json', { a: 1 }],
    [undefined, { a: 1 }],
    ['text/plain', '{"a":1}'],
    ['TEXT/csv; charset=utf-8', '{"a":1}'],
    ['application/octet-stream', utf8('{"a":1}')],
    ['application/avro', utf8('{"a":1}')],
    ['application/jsonish', utf8('{"a":1}')],
    ['', utf8('{"a":1}')],
  ])('reads the content type %j', (contentType, expected) => {
    expect(deserialize(utf8('{"a":1}'), contentType)).toEqual(expected);
  });

  it.each(['', '{', '{"a":1} trailing', 'undefined', "{'a':1}"])('refuses %j as JSON', (text) => {
    expect(() => deserialize(utf8(text), 'application/json')).toThrow(SyntaxError);
  });

  it('refuses bytes that are not UTF-8 rather than replace them', () => {
    for (const contentType of ['application/json', 'text/plain', undefined]) {
      expect(() => deserialize(Uint8Array.of(0x22, 0xff, 0x22), contentType)).toThrow('not valid UTF-8');
    }
  });
});

describe('decodeUtf8', () => {
  it('reads any Unicode, also out of the middle of a larger buffer', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const padded = Buffer.concat([Buffer.from([0xff, 0xfe]), utf8(text), Buffer.from([0xff])]);
        expect(decodeUtf8(padded.subarray(2, -1))).toBe(text);
      }),
    );
  });

  it.each([
    ['a lone continuation', [0x80]],
    ['a cut sequence', [0xe2, 0x82]],
    ['an overlong form', [0xc0, 0xaf]],
    ['a surrogate', [0xed, 0xa0, 0x80]],
    ['beyond Unicode', [0xf4, 0x90, 0x80, 0x80]],
    ['Latin-1', [0x67, 0x72, 0xfc, 0x6e]],
  ])('refuses %s', (_what, bytes) => expect(() => decodeUtf8(Uint8Array.from(bytes))).toThrow(TypeError));
});

describe('parseJson', () => {
  it.each([
    '{"__proto__":{"admin":true}}',
    '{"a":[{"__proto__":null}]}',
    '{"\\u005f_proto__":{"admin":true}}',
    '{"constructor":{"prototype":{"admin":true}}}',
    '{"__proto__" : {"admin":true}}',
  ])('refuses %s, which would pollute prototypes where it is merged', (text) => {
    expect(() => parseJson(text)).toThrow(SyntaxError);
  });

  it.each(['s3cret', '{"password":s3cret}', '["a", s3cret]', `${'['.repeat(50)}s3cret${'"'.repeat(50)}`])(
    'does not quote %s: data has no business in a log',
    (text) => {
      expect(() => parseJson(text)).toThrow(expect.objectContaining({ message: expect.not.stringContaining('s3c') }));
    },
  );

  it('lets those words be values, and constructor a plain member', () => {
    expect(parseJson('{"a":"__proto__","constructor":"Lego"}')).toEqual({ a: '__proto__', constructor: 'Lego' });
  });
});

function thrown(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

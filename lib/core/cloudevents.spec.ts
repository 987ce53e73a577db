import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { fromCloudEvent, toCloudEvent, type ReceivedCloudEvent } from './cloudevents.js';
import { createEnvelope, type Envelope } from './envelope.js';
import { isEventsError } from './errors.js';
import { assertHeaders, type HeaderValue, type Headers } from './headers.js';
import { jsonSerializer } from './serializer.js';

const PREFIXES = ['cloudEvents_', 'cloudEvents:', 'ce-'];

const text = fc.string({ unit: 'binary', minLength: 1 });
const maybe = (key: string): fc.Arbitrary<object> =>
  fc.oneof(
    fc.constant({}),
    text.map((value) => ({ [key]: value })),
  );
const optional = fc
  .tuple(...['key', 'subject', 'dataschema', 'correlationId', 'causationId', 'traceparent', 'tracestate'].map(maybe))
  .map((parts) => Object.assign({}, ...parts) as Partial<Envelope>);
const harmless = (data: unknown): boolean => !/"__proto__"|"constructor"/.test(JSON.stringify(data));
const json = fc
  .jsonValue({ stringUnit: 'binary' })
  .filter(harmless)
  .map((data) => JSON.parse(JSON.stringify(data)) as unknown);
const headerPart = fc.oneof(fc.string({ unit: 'binary' }), fc.uint8Array());
const userHeaders: fc.Arbitrary<Headers> = fc
  .dictionary(text, fc.oneof(headerPart, fc.array(headerPart)) as fc.Arbitrary<HeaderValue>, { noNullPrototype: false })
  .filter((headers) => {
    try {
      assertHeaders(headers, 'a');
      return true;
    } catch {
      return false;
    }
  });
const time = fc
  .date({ min: new Date(0), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true })
  .map((date) => date.toISOString());
const envelopes = fc
  .record({ id: text, source: text, time, data: fc.oneof(json, fc.uint8Array()), headers: userHeaders }, {})
  .chain((required) => optional.map((rest) => createEnvelope({ name: 'orders.order.placed', ...required, ...rest })));

/** As a broker would hand it over: attributes become headers, as text or as bytes. */
function binary(envelope: Envelope, wire: { prefix: string; bytes: boolean }): ReceivedCloudEvent {
  const { attributes, contentType, body } = toCloudEvent(envelope, jsonSerializer);
  const marked = Object.entries(attributes).map(([name, value]): [string, HeaderValue] => [
    wire.prefix + name,
    wire.bytes ? Buffer.from(value) : value,
  ]);
  const headers = Object.fromEntries([...Object.entries(envelope.headers), ...marked, ['content-type', contentType]]);
  return { headers, contentType, body, prefixes: PREFIXES, ownHeaders: new Set(['content-type']) };
}

function structured(members: unknown, rest: Partial<ReceivedCloudEvent> = {}): ReceivedCloudEvent {
  const body = Buffer.from(typeof members === 'string' ? members : JSON.stringify(members));
  return { headers: {}, contentType: 'application/cloudevents+json; charset=utf-8', body, prefixes: PREFIXES, ...rest };
}

const read = (received: ReceivedCloudEvent): Envelope => fromCloudEvent(received, { serializer: jsonSerializer });

function problem(received: ReceivedCloudEvent): string {
  try {
    read(received);
  } catch (error) {
    if (isEventsError(error, 'EVENTS_UNDECODABLE')) return error.message;
    throw error;
  }
  return 'decoded';
}

const required = { specversion: '1.0', id: '1', source: 's', type: 'a.b', time: '2024-05-06T07:08:09Z' };
const withHeaders = (headers: Headers, body: Uint8Array | null = null): ReceivedCloudEvent => ({
  headers,
  contentType: undefined,
  body,
  prefixes: PREFIXES,
});
const marked = (attributes: Record<string, string>, prefix = 'ce-'): Headers =>
  Object.fromEntries(Object.entries(attributes).map(([name, value]) => [prefix + name, value]));

describe('an event in binary mode', () => {
  it('arrives as it was published: any Unicode, any data, with each prefix, as text and as bytes', () => {
    const wires = fc.record({ prefix: fc.constantFrom(...PREFIXES), bytes: fc.boolean() });
    fc.assert(
      fc.property(envelopes, wires, (envelope, wire) => expect(read(binary(envelope, wire))).toEqual(envelope)),
      { numRuns: 300 },
    );
  });

  it('is written with the attribute names of CloudEvents 1.0', () => {
    const attributes = { id: '1', source: 's', time: required.time, key: 'k', correlationId: 'c', causationId: 'e' };
    expect(toCloudEvent(createEnvelope({ name: 'a.b', data: [1], ...attributes }), jsonSerializer)).toEqual({
      attributes: { ...required, partitionkey: 'k', correlationid: 'c', causationid: 'e' },
      contentType: 'application/json',
      body: Buffer.from('[1]'),
    });
  });

  it('may come without a body and without a version', () => {
    const { specversion: _, ...rest } = required;
    expect(read(withHeaders(marked(rest)))).toEqual({
      id: '1',
      source: 's',
      name: 'a.b',
      time: required.time,
      data: null,
      headers: {},
    });
  });

  it('may spell its attributes in any case; one that is repeated, or no UTF-8, is none', () => {
    const headers = { 'ce-ID': '1', 'ce-Source': ['s'], 'ce-type': [Buffer.from('a.b')] };
    const noText = { 'ce-subject': ['one', 'two'], 'ce-partitionkey': Uint8Array.of(0xfc), 'ce-traceparent': [] };
    const envelope = read(withHeaders({ ...headers, ...noText }));
    expect(envelope).toMatchObject({ id: '1', source: 's', name: 'a.b' });
    for (const absent of ['subject', 'key', 'traceparent']) expect(envelope).not.toHaveProperty(absent);
  });

  it('takes the preferred prefix when an attribute comes with several, in whatever order', () => {
    const pairs = [...Object.entries(marked(required)), ['cloudEvents_id', 'preferred'], ['cloudEvents:id', 'second']];
    for (const headers of [pairs, [...pairs].reverse()]) {
      expect(read(withHeaders(Object.fromEntries(headers) as Headers)).id).toBe('preferred');
    }
  });

  it('keeps the headers that are neither attributes nor the transport’s own', () => {
    const headers = { ...marked(required), tenant: 'acme', 'x-own': '1', __proto: 'p', raw: Uint8Array.of(255) };
    const envelope = read({ ...withHeaders(headers), ownHeaders: new Set(['x-own']) });
    expect(envelope.headers).toEqual({ tenant: 'acme', __proto: 'p', raw: Uint8Array.of(255) });
  });

  it.each([
    ['1714979289123', '2024-05-06T07:08:09.123Z'],
    ['0', '1970-01-01T00:00:00.000Z'],
    ['2024-05-06T07:08:09+02:00', '2024-05-06T07:08:09+02:00'],
  ])('may have the time %s, as some SDKs write milliseconds', (given, expected) => {
    expect(read(withHeaders(marked({ ...required, time: given }))).time).toBe(expected);
  });

  it('happened when it arrived if it has no time', () => {
    const before = Date.now();
    const arrived = Date.parse(read(withHeaders(marked({ ...required, time: '' }))).time);
    expect(arrived).toBeGreaterThanOrEqual(before);
    expect(arrived).toBeLessThanOrEqual(Date.now());
  });

  it.each<[string, ReceivedCloudEvent, string]>([
    ['without attributes', withHeaders({ id: '1' }), 'CloudEvents attributes are missing: id, type, source'],
    [
      'with an empty id',
      withHeaders(marked({ ...required, id: '' })),
      'CloudEvents attributes are missing: id (event "a.b").',
    ],
    ['of another version', withHeaders(marked({ ...required, specversion: '0.3' })), 'version is "0.3", not "1.0"'],
    ['with a wrong time', withHeaders(marked({ ...required, time: 'soon' })), 'its time is not an RFC 3339 time'],
    ['with broken JSON', withHeaders(marked(required), Buffer.from('{')), 'its data cannot be read: '],
    ['with hostile JSON', withHeaders(marked(required), Buffer.from('{"__proto__":1}')), 'its data cannot be read: '],
    [
      'with an attribute in Latin-1',
      withHeaders({ ...marked(required), 'ce-id': Uint8Array.of(0xfc) }),
      'CloudEvents attributes are missing: id',
    ],
    [
      'with two ids',
      withHeaders({ ...marked(required), 'ce-id': ['1', '2'] }),
      'CloudEvents attributes are missing: id',
    ],
    ['with a time of mails', withHeaders(marked({ ...required, time: 'May 6, 2024' })), 'not an RFC 3339 time'],
  ])('is refused %s, saying so', (_what, received, expected) => {
    expect(problem(received)).toMatch(/^the event cannot be decoded: .*mend its publisher/s);
    expect(problem(received)).toContain(expected);
  });
});

describe('an event in structured mode', () => {
  it('arrives as it was published', () => {
    fc.assert(
      fc.property(envelopes, (envelope) => {
        const { attributes } = toCloudEvent(envelope, jsonSerializer);
        const { data, headers } = envelope;
        const content = data instanceof Uint8Array ? { data_base64: Buffer.from(data).toString('base64') } : { data };
        const received = read(
          structured({ ...attributes, datacontenttype: 'application/json', ...content }, { headers }),
        );
        expect({ ...received, data: comparable(received.data) }).toEqual({ ...envelope, data: comparable(data) });
      }),
      { numRuns: 300 },
    );
  });

  it('may come without data, and with numbers for texts', () => {
    const envelope = read(structured({ ...required, id: 42, time: 1_714_979_289_123, partitionkey: 7 }));
    expect(envelope).toEqual({
      id: '42',
      source: 's',
      name: 'a.b',
      key: '7',
      time: '2024-05-06T07:08:09.123Z',
      data: null,
      headers: {},
    });
  });

  it('reads its attributes from the body only', () => {
    const envelope = read(structured(required, { headers: { 'ce-id': 'other', tenant: 'acme' } }));
    expect([envelope.id, { ...envelope.headers }]).toEqual(['1', { tenant: 'acme' }]);
  });

  it.each<[string, ReceivedCloudEvent, string]>([
    ['that is a number', structured(1), 'not a JSON object'],
    ['that is null', structured('null'), 'not a JSON object'],
    ['that is a list', structured([required]), 'attributes are missing: id, type, source'],
    ['without a type', structured({ ...required, type: undefined }), 'attributes are missing: type.'],
    ['of another version', structured({ ...required, specversion: '2.0' }), 'version is "2.0"'],
    ['that is broken', structured('{'), 'its data cannot be read: '],
    ['that pollutes prototypes', structured('{"__proto__":{"id":"1"}}'), 'its data cannot be read: '],
    ['that is missing', structured('', { body: null }), 'its data cannot be read: '],
    ['that is not UTF-8', structured('', { body: Uint8Array.of(0xff) }), 'not valid UTF-8'],
    ['with broken base64', structured({ ...required, data_base64: 'a$b' }), 'data_base64 is not base64'],
  ])('is refused with a body %s, saying so', (_what, received, expected) => {
    expect(problem(received)).toContain(expected);
  });
});

/** A Buffer and a Uint8Array of the same bytes are the same data. */
function comparable(data: unknown): unknown {
  return data instanceof Uint8Array ? { bytes: [...data] } : data;
}

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { DeadLetter, DeadLetterReason } from './dead-letter.js';
import {
  carryDeadLetter as carriages,
  fromCarriedDeadLetter,
  type CarriedDeadLetter,
  type DeadLetterForm,
} from './dead-letter-headers.js';
import type { HeaderValue, Headers } from './headers.js';

const text = fc.string({ unit: 'binary' });
const time = fc
  .date({ min: new Date(0), max: new Date('9999-12-31'), noInvalidDate: true })
  .map((at) => at.toISOString());
const bytes = fc.uint8Array();
const part = fc.oneof(text, bytes);
const name = fc.oneof(
  text,
  fc.constantFrom('ce_id', '__proto__', 'content-type', 'x-death', 'events-dl-group', 'events-dl-original-headers'),
  fc.constantFrom('kafka_dlt-original-topic', 'events-dl-body', 'events-binary-headers'),
);
const originalHeaders = fc
  .array(fc.tuple(name, fc.oneof(part, fc.array(part)) as fc.Arbitrary<HeaderValue>))
  .map((entries) => {
    const headers = Object.create(null) as Record<string, HeaderValue>;
    for (const [key, value] of entries) headers[key] = value;
    return headers;
  });
const place = fc.record(
  {
    transport: text,
    address: text,
    partition: fc.nat(2 ** 31 - 1),
    position: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }).map(String),
    timestamp: fc.nat(),
  },
  { requiredKeys: ['transport', 'address'] },
);
const reasons: DeadLetterReason[] = ['failed', 'expired', 'maxlen', 'delivery-limit', 'rejected'];
const letters: fc.Arbitrary<DeadLetter> = fc.record(
  {
    id: text,
    group: text,
    handler: text,
    event: text,
    eventId: text,
    reason: fc.constantFrom(...reasons),
    traceId: text,
    error: fc.record(
      { class: text, code: text, message: text, stack: text },
      { requiredKeys: ['class', 'code', 'message'] },
    ),
    attempts: fc.nat(),
    firstFailureAt: time,
    lastFailureAt: time,
    original: fc.record(
      { place, body: fc.option(bytes), headers: originalHeaders, key: bytes },
      { requiredKeys: ['place', 'body', 'headers'] },
    ),
  },
  {
    requiredKeys: [
      ...(['id', 'group', 'handler', 'reason', 'error', 'attempts'] as const),
      ...(['firstFailureAt', 'lastFailureAt', 'original'] as const),
    ],
  },
);

const KAFKA: DeadLetterForm = { numbers: 'bytes' };

function carryDeadLetter(each: DeadLetter, form: DeadLetterForm): CarriedDeadLetter {
  const [first] = carriages(each, form);
  return first as CarriedDeadLetter;
}

function carriedAndBack(letter: DeadLetter, form: DeadLetterForm): DeadLetter | undefined {
  const { headers, body } = carryDeadLetter(letter, form);
  const { key } = letter.original;
  return fromCarriedDeadLetter(headers, key === undefined ? { body } : { body, key });
}

const letter: DeadLetter = {
  id: 'b6e0…',
  group: 'shop',
  handler: 'Mail.send',
  event: 'orders.order.placed',
  eventId: '1',
  reason: 'failed',
  traceId: '0af7651916cd43dd8448eb211c80319c',
  error: { class: 'Unpayable', code: 'EX', message: 'broken', stack: 'Error: broken\n  at x' },
  attempts: 4,
  firstFailureAt: '2024-05-06T07:08:09.000Z',
  lastFailureAt: '2024-05-06T07:09:09.000Z',
  original: {
    place: {
      ...{ transport: 'kafka', address: 'orders.order', partition: 2, position: '9007199254740993' },
      timestamp: 1_714_979_289_000,
    },
    body: Uint8Array.of(0, 255),
    headers: { ce_id: '1', raw: Uint8Array.of(255), many: ['a', Uint8Array.of(1)] },
    key: Uint8Array.of(7),
  },
};
const FACTS = {
  'events-dl-id': 'b6e0…',
  'events-dl-group': 'shop',
  'events-dl-handler': 'Mail.send',
  'events-dl-event': 'orders.order.placed',
  'events-dl-event-id': '1',
  'events-dl-reason': 'failed',
  'events-dl-trace-id': '0af7651916cd43dd8448eb211c80319c',
  'events-dl-error-class': 'Unpayable',
  'events-dl-error-code': 'EX',
  'events-dl-error-message': 'broken',
  'events-dl-error-stack': 'Error: broken\n  at x',
  'events-dl-attempts': '4',
  'events-dl-first-failure-at': '2024-05-06T07:08:09.000Z',
  'events-dl-last-failure-at': '2024-05-06T07:09:09.000Z',
  'events-dl-transport': 'kafka',
  'events-dl-address': 'orders.order',
  'events-dl-partition': '2',
  'events-dl-position': '9007199254740993',
  'events-dl-timestamp': '1714979289000',
};
const SPRING = {
  'kafka_dlt-original-topic': 'orders.order',
  'kafka_dlt-original-consumer-group': 'shop',
  'kafka_dlt-exception-fqcn': 'Unpayable',
  'kafka_dlt-exception-message': 'broken',
  'kafka_dlt-exception-stacktrace': 'Error: broken\n  at x',
};

describe('a dead letter in headers', () => {
  it.each<[string, DeadLetterForm]>([
    ['with its original body', KAFKA],
    ['with numbers as text', { numbers: 'text' }],
    ['with its body described in JSON', { body: 'json', numbers: 'bytes' }],
    ['with a description that is too long', { body: 'json', maxBytes: 100, numbers: 'text' }],
  ])('is read back as it was written, %s', (_what, form) => {
    fc.assert(
      fc.property(letters, (each) => {
        const read = carriedAndBack(each, form) as DeadLetter;
        const asBytes = (body: Uint8Array | null): Uint8Array | null => body && new Uint8Array(body);
        expect({ ...read, original: { ...read.original, body: asBytes(read.original.body) } }).toEqual(each);
      }),
      { numRuns: 300 },
    );
  });

  it('says in plain headers what failed, where and why, beside the original ones', () => {
    const { headers, body } = carryDeadLetter(letter, { numbers: 'text' });
    expect({ ...headers }).toEqual({
      ...letter.original.headers,
      ...FACTS,
      ...SPRING,
      'kafka_dlt-original-partition': '2',
      'kafka_dlt-original-offset': '9007199254740993',
      'kafka_dlt-original-timestamp': '1714979289000',
    });
    expect(body).toBe(letter.original.body);
  });

  it('has the numbers of Spring’s headers as Java reads them, where headers are bytes', () => {
    const { headers } = carryDeadLetter(letter, KAFKA);
    const hex = (header: string): string => Buffer.from(headers[`kafka_dlt-${header}`] as Uint8Array).toString('hex');
    expect(hex('original-partition')).toBe('00000002');
    expect(hex('original-offset')).toBe('0020000000000001');
    expect(hex('original-timestamp')).toBe('0000018f4cbb37a8');
  });

  it('has no offset where there are no partitions', () => {
    const place = { transport: 'rabbitmq', address: 'events/orders.order.placed', position: '42' };
    const { headers } = carryDeadLetter({ ...letter, original: { ...letter.original, place } }, { numbers: 'text' });
    expect(Object.keys(headers).filter((header) => /offset|partition|timestamp/.test(header))).toEqual([]);
  });

  it('of an event that was a dead letter itself has its own facts outside, and the other’s inside', () => {
    const { headers } = carryDeadLetter(letter, KAFKA);
    const again: DeadLetter = { ...letter, group: 'audit', original: { ...letter.original, headers } };
    const carried = carryDeadLetter(again, KAFKA).headers;
    expect(carried['events-dl-group']).toBe('audit');
    expect(carriedAndBack(again, KAFKA)).toEqual(again);
  });

  it('describes the event in JSON for those who read bodies', () => {
    const described: unknown = JSON.parse(
      Buffer.from(carryDeadLetter(letter, { body: 'json', numbers: 'text' }).body ?? []).toString(),
    );
    expect(described).toEqual({
      original_topic: 'orders.order',
      original_partition: 2,
      original_offset: '9007199254740993',
      original_key: '\u0007',
      original_value: 'AP8=',
      original_value_encoding: 'base64',
      error_reason: 'broken',
      error_code: 'EX',
      failed_at: '2024-05-06T07:09:09.000Z',
      attempts: 4,
      group: 'shop',
      handler: 'Mail.send',
      event_type: 'orders.order.placed',
      event_id: '1',
    });
  });

  it('of an event that is JSON or not says that its description is', () => {
    const { original } = letter;
    const text: DeadLetter = { ...letter, original: { ...original, headers: { 'content-type': 'text/plain' } } };
    const { headers } = carryDeadLetter(text, { body: 'json', numbers: 'text' });
    expect(headers['content-type']).toBe('application/json');
    expect(carriedAndBack(text, { body: 'json', numbers: 'text' })).toEqual({
      ...text,
      original: { ...text.original, body: Buffer.from([0, 255]) },
    });
  });

  it('gets smaller where it has to, and keeps the bytes of the event', () => {
    const sizes = [...carriages(letter, { body: 'json', numbers: 'text' })].map(({ headers, body }) => {
      const read = fromCarriedDeadLetter(headers, { body }) as DeadLetter;
      expect(Buffer.from(read.original.body ?? [])).toEqual(Buffer.from([0, 255]));
      expect(read.error.message).toBe('broken');
      return [Object.keys(read.original.headers).length, read.error.stack !== undefined, body?.byteLength === 2];
    });
    expect(sizes).toEqual([
      [3, true, false],
      [3, false, true],
      [0, false, true],
    ]);
  });

  it('is read from facts that somebody else has written', () => {
    const headers = { 'events-dl-group': 'g', 'events-dl-handler': 'h', 'events-dl-attempts': 'many' };
    const read = fromCarriedDeadLetter(
      { ...headers, 'events-dl-reason': 'no', 'events-dl-partition': '-' },
      { body: null },
    );
    expect(read).toMatchObject({ attempts: 0, reason: 'failed', original: { place: { transport: '', address: '' } } });
    expect(carryDeadLetter(read as DeadLetter, KAFKA).headers['events-dl-attempts']).toBe('0');
  });

  it('keeps the bytes of a description that somebody has spoilt', () => {
    const { headers } = carryDeadLetter(letter, { body: 'json', numbers: 'text' });
    const spoilt = Buffer.from('{"original_value":');
    expect(fromCarriedDeadLetter(headers, { body: spoilt })?.original.body).toEqual(spoilt);
  });

  it.each<[string, Headers]>([
    ['no headers', {}],
    ['a user’s headers', { group: 'shop', handler: 'x' }],
    ['a group only', { 'events-dl-group': 'shop' }],
    ['a list for a group', { 'events-dl-group': ['shop'], 'events-dl-handler': 'x' }],
  ])('is none with %s', (_what, headers) => {
    expect(fromCarriedDeadLetter(headers, { body: null })).toBeUndefined();
  });
});

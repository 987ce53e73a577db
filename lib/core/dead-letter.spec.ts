import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { deadLetterError, fromDeadLetterHeaders, toDeadLetterHeaders, type DeadLetter } from './dead-letter.js';
import type { HeaderValue, Headers } from './headers.js';

const text = fc.string({ unit: 'binary' });
const time = fc
  .date({ min: new Date(0), max: new Date('9999-12-31'), noInvalidDate: true })
  .map((at) => at.toISOString());
const part = fc.oneof(text, fc.uint8Array());
const originalHeaders = fc.dictionary(
  fc
    .oneof(text, fc.constantFrom('ce_id', '__proto__', 'content-type', 'x-death'))
    .filter((name) => !name.startsWith('events-dl-')),
  fc.oneof(part, fc.array(part)) as fc.Arbitrary<HeaderValue>,
);
const place = fc.record(
  { transport: text, address: text, partition: fc.nat(), position: fc.bigInt({ min: 0n }).map(String) },
  { requiredKeys: ['transport', 'address'] },
);
const letters: fc.Arbitrary<DeadLetter> = fc.record(
  {
    group: text,
    handler: text,
    event: text,
    id: text,
    error: fc
      .record({ code: text, message: text, stack: fc.option(text, { nil: undefined }) })
      .map(({ code, message, stack }) => deadLetterError(code, message, stack)),
    attempts: fc.nat(),
    firstFailureAt: time,
    lastFailureAt: time,
    original: fc.record(
      { place, body: fc.option(fc.uint8Array()), headers: originalHeaders, key: fc.uint8Array() },
      { requiredKeys: ['place', 'body', 'headers'] },
    ),
  },
  { requiredKeys: ['group', 'handler', 'error', 'attempts', 'firstFailureAt', 'lastFailureAt', 'original'] },
);

const stored = ({ original }: DeadLetter): { body: Uint8Array | null; key?: Uint8Array } =>
  original.key === undefined ? { body: original.body } : { body: original.body, key: original.key };

const letter: DeadLetter = {
  group: 'shop',
  handler: 'Mail.send',
  event: 'orders.order.placed',
  id: '1',
  error: { code: 'EX', message: 'broken', stack: 'Error: broken\n  at x' },
  attempts: 4,
  firstFailureAt: '2024-05-06T07:08:09.000Z',
  lastFailureAt: '2024-05-06T07:09:09.000Z',
  original: {
    place: { transport: 'kafka', address: 'orders.order', partition: 2, position: '9007199254740993' },
    body: Uint8Array.of(0, 255),
    headers: { ce_id: '1', raw: Uint8Array.of(255), many: ['a', Uint8Array.of(1)] },
    key: Uint8Array.of(7),
  },
};

describe('a dead letter in headers', () => {
  it('is read back as it was written, with binary and repeated headers as they came', () => {
    fc.assert(
      fc.property(letters, (each) => {
        expect(fromDeadLetterHeaders(toDeadLetterHeaders(each), stored(each))).toEqual(each);
      }),
      { numRuns: 300 },
    );
  });

  it('is read back from a broker that has bytes for headers, as Kafka has', () => {
    fc.assert(
      fc.property(letters, (each) => {
        const headers = Object.fromEntries(
          Object.entries(toDeadLetterHeaders(each)).map(([name, value]) => [
            name,
            typeof value === 'string' ? Buffer.from(value) : value,
          ]),
        );
        const { original, ...facts } = fromDeadLetterHeaders(headers, stored(each)) as DeadLetter;
        const { original: expected, ...expectedFacts } = each;
        expect(facts).toEqual(expectedFacts);
        expect(original.place).toEqual(expected.place);
        expect(Object.keys(original.headers)).toEqual(Object.keys(expected.headers));
      }),
      { numRuns: 300 },
    );
  });

  it('says in plain headers what failed, where and why, beside the original ones', () => {
    expect({ ...toDeadLetterHeaders(letter) }).toEqual({
      ...letter.original.headers,
      'events-dl-group': 'shop',
      'events-dl-handler': 'Mail.send',
      'events-dl-event': 'orders.order.placed',
      'events-dl-id': '1',
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
    });
  });

  it('takes no fact over from a dead letter that the original was itself', () => {
    const { event: _event, id: _id, ...undecodable } = letter;
    const place = { transport: 'rabbitmq', address: 'q' };
    const again: DeadLetter = { ...undecodable, original: { place, body: null, headers: toDeadLetterHeaders(letter) } };
    const read = fromDeadLetterHeaders(toDeadLetterHeaders(again), { body: null }) as DeadLetter;
    expect(read).not.toHaveProperty('event');
    expect(read.original.place).toEqual(place);
    expect({ ...read.original.headers }).toEqual(letter.original.headers);
  });

  it.each<[string, Headers]>([
    ['no headers', {}],
    ['a user’s headers', { group: 'shop', handler: 'x' }],
    ['a group only', { 'events-dl-group': 'shop' }],
    ['a list for a group', { 'events-dl-group': ['shop'], 'events-dl-handler': 'x' }],
  ])('is none with %s', (_what, headers) => {
    expect(fromDeadLetterHeaders(headers, { body: null })).toBeUndefined();
  });
});

describe('deadLetterError', () => {
  it('cuts code, message and stack, so that a dead letter near the size limit can be written', () => {
    const long = 'x'.repeat(1_000_000);
    const { code, message, stack } = deadLetterError(long, long, long);
    expect([code.length, message.length, stack?.length]).toEqual([256, 1_024, 8_192]);
  });

  it('leaves short ones alone, and out what is not there', () => {
    expect(deadLetterError('C', 'm', undefined)).toEqual({ code: 'C', message: 'm' });
    expect(deadLetterError('C', 'm', '')).toEqual({ code: 'C', message: 'm', stack: '' });
  });

  it('never leaves half a character, which jsonb columns refuse', () => {
    const emoji = `x${'🙂'.repeat(10_000)}`;
    const { code, message, stack } = deadLetterError(emoji, emoji, emoji);
    expect([code, message, stack].map((each) => each?.isWellFormed())).toEqual([true, true, true]);
    expect(deadLetterError('C', 'half \ud800 of one', undefined).message.isWellFormed()).toBe(true);
  });
});

import { emptyHeaders, type Headers } from '../../../lib/core/headers.js';
import { FORGED, handled, notSent, undecodable, type BadInput, type Expected } from './bad-input.js';

const thousand: Headers = Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`header-${n}`, `value ${n}`]));
const longName: Headers = { ['n'.repeat(1_000)]: 'x' };
const NOT_UTF8 = Buffer.from([0xff, 0x00, 0xfe]);

/** A name that an object literal would take for something else. */
function named(name: string, value: string): Headers {
  return Object.assign(emptyHeaders(), Object.fromEntries([[name, value]]));
}

/** AMQP has types that a header of ours does not have. */
const onlyAmqp = (table: object): Headers => table as Headers;

function deepTable(levels: number): unknown {
  let table: unknown = {};
  for (let level = 1; level < levels; level++) table = { t: table };
  return table;
}

const kept = (headers: Headers): Expected => ({ becomes: 'handled', data: { n: 1 }, headers });
const arrives = (name: string, headers: Headers): BadInput => ({ name, headers, expected: kept(headers) });

/** Headers mean nothing to us, except where they claim to be ours. */
export const headers: BadInput[] = [
  arrives('1,000 headers', thousand),
  arrives('a header of 63 KB', { large: 'x'.repeat(64_512) }),
  {
    name: 'a header of 63 KB in what the handler refuses',
    headers: { large: 'x'.repeat(64_512) },
    refused: true,
    expected: { becomes: 'dead letter', code: 'Error' },
  },
  {
    name: '1,000 headers in what the handler refuses',
    headers: thousand,
    refused: true,
    expected: { becomes: 'dead letter', code: 'Error' },
  },
  arrives('an empty header', { empty: '' }),
  arrives('a header with a forged log line', { forged: FORGED }),
  arrives('a header that is SQL', { sql: "'; DROP TABLE effects; --" }),
  arrives('a binary header', { binary: NOT_UTF8 }),
  arrives('a header that came three times', { repeated: ['a', 'b', 'a'] }),
  arrives('a header that came as text and as bytes', { mixed: ['a', NOT_UTF8] }),
  arrives('headers called constructor, toString and hasOwnProperty', {
    constructor: 'polluted',
    toString: 'polluted',
    hasOwnProperty: 'polluted',
  }),
  {
    name: 'a header called __proto__',
    headers: named('__proto__', 'polluted'),
    expected: kept(named('__proto__', 'polluted')),
    differs: { rabbitmq: handled(), why: 'its client puts headers into a plain object, which loses this one' },
  },
  {
    ...arrives('a header whose name has 1,000 bytes', longName),
    differs: { rabbitmq: notSent, why: 'names are short strings of 255 bytes in AMQP' },
  },
  arrives('a header with a forged log line as its name', named(`name${FORGED}`, 'y')),
  {
    name: 'headers that claim to be those of a dead letter',
    headers: { 'events-dl-group': 'other', 'events-dl-handler': 'other', 'events-dl-attempts': '-1' },
    body: '{',
    expected: undecodable(),
  },
  {
    name: "headers that claim to be the broker's history",
    headers: { 'x-death': 'polluted', 'x-delivery-count': '-1', 'x-first-death-reason': 'expired' },
    body: '{',
    expected: undecodable(),
  },
  {
    name: 'headers as Spring writes dead letters',
    headers: { 'kafka_dlt-original-topic': 'other', 'kafka_dlt-original-offset': 'x' },
    body: '{',
    expected: undecodable(),
  },
  arrives('a list of binary headers that is no JSON', { 'events-binary-headers': '{"row"' }),
  arrives('a list of binary headers that names no numbers', {
    'events-binary-headers': '{"row":1,"__proto__":{"polluted":[0]}}',
  }),
  {
    name: 'numbers, truth values, times, nothing and tables as headers: read as text',
    headers: onlyAmqp({
      number: -7,
      truth: true,
      time: { '!': 'timestamp', value: 0 },
      nothing: null,
      table: { a: 1 },
    }),
    expected: notSent,
    differs: {
      rabbitmq: kept({ number: '-7', truth: 'true', time: '1970-01-01T00:00:00.000Z', nothing: '', table: '{"a":1}' }),
      why: 'only AMQP has more types than text and bytes',
    },
  },
  {
    name: 'a header of 2,000 tables in each other',
    headers: onlyAmqp({ tables: deepTable(2_000) }),
    expected: notSent,
    differs: { rabbitmq: handled(), why: 'only AMQP has tables' },
  },
  {
    name: 'a header of 2,000 tables in each other, and no JSON',
    headers: onlyAmqp({ tables: deepTable(2_000) }),
    body: '{',
    expected: notSent,
    differs: { rabbitmq: undecodable(), why: 'only AMQP has tables' },
  },
  {
    name: "a broker's key that is no text",
    brokerKey: NOT_UTF8,
    attributes: { partitionkey: null },
    expected: handled({ n: 1 }, { key: NOT_UTF8.toString('base64') }),
    differs: {
      memory: handled(),
      rabbitmq: handled(),
      why: 'only Kafka keeps keys as bytes',
    },
  },
];

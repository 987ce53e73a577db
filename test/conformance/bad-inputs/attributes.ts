import { FORGED, GOOD_DATA, handled, undecodable, unhandled, type BadInput } from './bad-input.js';

const KB10 = 'x'.repeat(10_240);
const NOT_UTF8 = Buffer.from([0xff, 0xfe]);
/** Told apart by their text, whatever it is. */
const withId = (name: string, id: string): BadInput => ({
  name,
  attributes: { id },
  expected: handled(GOOD_DATA, { id }),
});

export const ids: BadInput[] = [
  { name: 'no id', attributes: { id: null }, expected: undecodable(/missing: id/) },
  { name: 'an empty id', attributes: { id: '' }, expected: undecodable(/missing: id/) },
  { name: 'two ids', attributes: { id: ['a', 'b'] }, expected: undecodable(/missing: id/) },
  { name: 'an id that is no text', attributes: { id: NOT_UTF8 }, expected: undecodable(/missing: id/) },
  withId('an id of 10 KB', KB10),
  withId('an id that is no UUID', 'order 1'),
  withId('an id with U+0000', 'a\0b'),
  withId('an id with a forged log line', `id${FORGED}`),
  withId('an id that is SQL', "'); DROP TABLE processed_events; --"),
  withId('an id that is a script', '<script>alert(1)</script>'),
  withId('the id __proto__', '__proto__'),
  withId('the id constructor', 'constructor'),
  {
    name: 'a bad id that the handler refuses',
    attributes: { id: `2${FORGED}` },
    refused: true,
    expected: { becomes: 'dead letter', code: 'Error' },
  },
];

const refusedWith = (name: string, attributes: BadInput['attributes'] & object): BadInput => ({
  ...{ name, attributes, refused: true },
  expected: { becomes: 'dead letter', code: 'Error' },
});

export const versions: BadInput[] = [
  { name: 'CloudEvents 0.3', attributes: { specversion: '0.3' }, expected: undecodable(/version is "0.3"/) },
  { name: 'CloudEvents 2.0', attributes: { specversion: '2.0' }, expected: undecodable(/version is "2.0"/) },
  { name: 'CloudEvents "1.0 "', attributes: { specversion: '1.0 ' }, expected: undecodable(/version/) },
  { name: 'a version that forges a log line', attributes: { specversion: FORGED }, expected: undecodable(/version/) },
  { name: 'no version: read as 1.0', attributes: { specversion: null }, expected: handled() },
];

export const otherAttributes: BadInput[] = [
  {
    name: 'no attribute at all',
    attributes: { id: null, type: null, source: null, specversion: null, time: null },
    expected: undecodable(/missing: id, type, source/),
  },
  { name: 'no type', attributes: { type: null }, expected: undecodable(/missing: type/) },
  { name: 'no source', attributes: { source: null }, expected: undecodable(/missing: source/) },
  { name: 'a type that no handler takes', attributes: { type: 'com.example/strange v1' }, expected: unhandled },
  { name: 'a type that forges a log line', attributes: { type: `a.b.c${FORGED}` }, expected: unhandled },
  { name: 'a time that is none', attributes: { time: 'yesterday' }, expected: undecodable(/time/) },
  { name: 'the 45th of the 13th month', attributes: { time: '2026-13-45T00:00:00Z' }, expected: undecodable(/time/) },
  {
    name: 'a time as mail writes it',
    attributes: { time: 'Tue, 24 Nov 2026 00:00:00 GMT' },
    expected: undecodable(/time/),
  },
  { name: 'a time that only a lenient reader takes', attributes: { time: 'order 7' }, expected: undecodable(/time/) },
  { name: 'a key of 10 KB', attributes: { partitionkey: KB10 }, expected: handled(GOOD_DATA, { key: KB10 }) },
  {
    name: 'a key with U+0000 and a forged log line',
    attributes: { partitionkey: `\0${FORGED}` },
    expected: handled(GOOD_DATA, { key: `\0${FORGED}` }),
  },
  refusedWith('an id and a key of 10 KB that the handler refuses', { id: `${KB10}2`, partitionkey: KB10 }),
  {
    name: 'the key __proto__',
    attributes: { partitionkey: '__proto__' },
    expected: handled(GOOD_DATA, { key: '__proto__' }),
  },
  { name: 'a subject that is no text: none', attributes: { subject: NOT_UTF8 }, expected: handled() },
  {
    name: 'a traceparent that is none',
    attributes: { traceparent: FORGED },
    expected: handled(GOOD_DATA, { traceparent: FORGED }),
  },
  { name: 'an attribute nobody knows', attributes: { polluted: 'x' }, expected: handled() },
];

const structured = (event: unknown): Pick<BadInput, 'contentType' | 'attributes' | 'body'> => ({
  contentType: 'application/cloudevents+json',
  attributes: { id: null, type: null, source: null, specversion: null, time: null },
  body: typeof event === 'string' ? event : JSON.stringify(event),
});
/** The name is filled in where the input is sent. */
const whole = { specversion: '1.0', id: 's-1', source: 'table', type: '{{name}}', data: GOOD_DATA };

export const structuredMode: BadInput[] = [
  { name: 'structured, and no JSON', ...structured('{"specversion"'), expected: undecodable() },
  { name: 'structured null', ...structured('null'), expected: undecodable(/not a JSON object/) },
  { name: 'a structured list', ...structured([whole]), expected: undecodable(/missing: id, type, source/) },
  {
    name: 'structured CloudEvents 0.3',
    ...structured({ ...whole, specversion: '0.3' }),
    expected: undecodable(/version is "0.3"/),
  },
  {
    name: 'a structured id that is an object',
    ...structured({ ...whole, id: { polluted: true } }),
    expected: undecodable(/missing: id/),
  },
  {
    name: 'a structured id that is a number',
    ...structured({ ...whole, id: 7 }),
    expected: handled(GOOD_DATA, { id: '7' }),
  },
  {
    name: 'structured data in base64 that is none',
    ...structured({ ...whole, data_base64: '\u2603' }),
    expected: undecodable(/base64/),
  },
  {
    name: 'structured __proto__',
    ...structured(JSON.stringify(whole).replace('"n"', '"__proto__"').replace(':1}', ':{"polluted":true}}')),
    expected: undecodable(),
  },
  {
    name: 'a batch of CloudEvents',
    ...structured([whole]),
    contentType: 'application/cloudevents-batch+json',
    expected: undecodable(/missing/),
  },
];

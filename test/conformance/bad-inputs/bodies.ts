import { gzipSync } from 'node:zlib';
import { depthOf, FORGED, handled, LEVELS, SECRET, undecodable, type BadInput } from './bad-input.js';

const bytes = (...parts: (string | number[])[]): Buffer =>
  Buffer.concat(parts.map((part) => Buffer.from(part as string)));
const isDeep = (data: unknown): boolean => depthOf(data) === LEVELS;
const isXml = (data: unknown): boolean => Buffer.from(data as Uint8Array).toString() === '<a/>';

/** JSON is read strictly; a body that is not what its content type says is a dead letter. */
export const malformed: BadInput[] = [
  { name: 'JSON that is cut off', body: '{"n": 1', expected: undecodable() },
  { name: 'something after the JSON', body: '{"n":1} {"n":2}', expected: undecodable() },
  { name: 'single quotes', body: "{'n': 1}", expected: undecodable() },
  { name: 'a trailing comma', body: '{"n": 1,}', expected: undecodable() },
  { name: 'a comment', body: '{"n": 1 /* one */}', expected: undecodable() },
  { name: 'NaN', body: '{"n": NaN}', expected: undecodable() },
  { name: 'a leading zero', body: '{"n": 01}', expected: undecodable() },
  { name: 'a raw line break in a string', body: '{"n": "a\nb"}', expected: undecodable() },
  { name: 'XML that says it is JSON', body: '<order id="1"/>', expected: undecodable() },
  { name: 'gzip that says it is JSON', body: gzipSync('{"n":1}'), expected: undecodable(/UTF-8/) },
  { name: 'a forged log line that is no JSON', body: FORGED, expected: undecodable() },
  { name: 'a password in what is no JSON', body: `amqp://shop:${SECRET}@mq/`, expected: undecodable() },
  { name: 'a password by itself, without quotes', body: SECRET, expected: undecodable() },
  { name: 'no bytes at all', body: Buffer.alloc(0), expected: undecodable() },
  { name: 'white space only', body: ' \t\r\n ', expected: undecodable() },
  { name: 'bytes that are not UTF-8', body: bytes([0xff, 0xfe, 0x80]), expected: undecodable(/UTF-8/) },
  { name: 'an overlong "/" in a string', body: bytes('{"n":"', [0xc0, 0xaf], '"}'), expected: undecodable(/UTF-8/) },
  {
    name: 'half a surrogate pair in UTF-8',
    body: bytes('{"n":"', [0xed, 0xa0, 0x80], '"}'),
    expected: undecodable(/UTF-8/),
  },
  { name: 'a character that is cut off', body: bytes('"', [0xe2, 0x98]), expected: undecodable(/UTF-8/) },
  { name: 'UTF-16', body: Buffer.from('\ufeff{"n":1}', 'utf16le'), expected: undecodable(/UTF-8/) },
  { name: `${LEVELS} levels that are not closed`, body: '['.repeat(LEVELS), expected: undecodable() },
  { name: 'text that is not UTF-8', contentType: 'text/plain', body: bytes([0xff]), expected: undecodable(/UTF-8/) },
];

/** Would change every object of the process, if a handler merged it into one. */
export const polluting: BadInput[] = [
  { name: '__proto__', body: '{"__proto__": {"polluted": true}}', expected: undecodable() },
  { name: '__proto__ far inside', body: '{"a": [{"b": {"__proto__": {"polluted": true}}}]}', expected: undecodable() },
  { name: '__proto__ in escapes', body: '{"\\u005f_proto__": {"polluted": true}}', expected: undecodable() },
  {
    name: 'constructor.prototype',
    body: '{"constructor": {"prototype": {"polluted": true}}}',
    expected: undecodable(),
  },
  {
    name: 'prototype, which by itself is a word like others',
    body: '{"prototype": {"polluted": true}}',
    expected: handled({ prototype: { polluted: true } }),
  },
];

/** Odd, but legal: the handler gets it as it is, and judges. */
export const odd: BadInput[] = [
  { name: 'null', body: 'null', expected: handled(null) },
  {
    name: 'no body',
    body: null,
    expected: handled(null),
    differs: { rabbitmq: undecodable(), why: 'AMQP has no null: it carries an empty body, which is no JSON' },
  },
  { name: 'a byte order mark', body: '\ufeff{"n":1}', expected: handled() },
  { name: 'the same member twice: the last one counts', body: '{"n":0,"n":1}', expected: handled() },
  { name: 'U+0000 in a string', body: '{"n":"a\\u0000b"}', expected: handled({ n: 'a\0b' }) },
  { name: 'half a surrogate pair as an escape', body: '"\\ud800"', expected: handled('\ud800') },
  { name: 'a number beyond all bounds', body: '[1e400, -1e400]', expected: handled([Infinity, -Infinity]) },
  { name: 'an integer that a number does not hold', body: '9007199254740993', expected: handled(9007199254740992) },
  { name: `arrays ${LEVELS} deep`, body: '['.repeat(LEVELS) + ']'.repeat(LEVELS), expected: handled(isDeep) },
  {
    name: `objects ${LEVELS} deep`,
    body: `${'{"a":'.repeat(LEVELS - 1)}{}${'}'.repeat(LEVELS - 1)}`,
    expected: handled(isDeep),
  },
  {
    name: `arrays ${LEVELS} deep that the handler refuses`,
    body: '['.repeat(LEVELS) + ']'.repeat(LEVELS),
    refused: true,
    expected: { becomes: 'dead letter', code: 'Error' },
  },
  {
    name: 'as large as may be published, and refused by the handler',
    body: JSON.stringify('x'.repeat(999_990)),
    refused: true,
    expected: { becomes: 'dead letter', code: 'Error' },
  },
  {
    name: 'a list of 200,000',
    body: JSON.stringify(Array.from({ length: 200_000 }, () => 0)),
    expected: handled((data: unknown) => (data as unknown[]).length === 200_000),
  },
  { name: 'a forged log line in a string', body: JSON.stringify({ n: FORGED }), expected: handled({ n: FORGED }) },
  {
    name: 'a forged log line that the handler quotes in its error',
    body: JSON.stringify(FORGED),
    refused: true,
    expected: { becomes: 'dead letter', code: 'Error' },
  },
  { name: 'SQL', body: `"'; DROP TABLE effects; --"`, expected: handled("'; DROP TABLE effects; --") },
  { name: 'a script', body: '"<script>alert(1)</script>"', expected: handled('<script>alert(1)</script>') },
  { name: 'no content type: read as JSON', contentType: null, expected: handled() },
  { name: 'a content type with parameters', contentType: 'application/json; charset="utf-8"', expected: handled() },
  {
    name: 'an unknown content type: handed over as bytes',
    contentType: 'application/xml',
    body: '<a/>',
    expected: handled(isXml),
  },
  { name: 'a content type that forges a log line', contentType: FORGED, body: '<a/>', expected: handled(isXml) },
];

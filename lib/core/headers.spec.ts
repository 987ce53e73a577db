import { describe, expect, it } from '@jest/globals';
import { createEnvelope } from './envelope.js';
import { isEventsError } from './errors.js';
import { assertHeaders, emptyHeaders, isBytes, type Headers } from './headers.js';

const check = (headers: object) => (): void => assertHeaders(headers as Headers, 'orders.order.placed');

function refusal(headers: object): string {
  try {
    check(headers)();
  } catch (error) {
    if (isEventsError(error, 'EVENTS_HEADER_INVALID')) return error.message;
    throw error;
  }
  return 'accepted';
}

describe('assertHeaders', () => {
  it.each([
    [{}],
    [{ tenant: 'acme', empty: '', größe: '🙂' }],
    [{ raw: Uint8Array.of(255), buffer: Buffer.from('a') }],
    [{ many: ['a', Uint8Array.of(1)], none: [] }],
    [
      {
        cent: 'not ce_',
        my_ce_id: 'not at the start',
        event: 'not events-',
        xray: 'not x-',
        'content-type-of': 'not it',
      },
    ],
  ])('accepts %j', (headers) => expect(refusal(headers)).toBe('accepted'));

  it.each([
    'ce_id',
    'CE_id',
    'ce-id',
    'cloudEvents:id',
    'cloudEvents_id',
    'content-type',
    'Content-Type',
    'events-dl-group',
    'x-death',
    'X-Retry',
  ])('refuses the name %s, which the transports need', (name) => {
    expect(refusal({ fine: 'a', [name]: 'a' })).toBe(
      `the header "${name}" has a reserved name (event "orders.order.placed"). Headers are strings, bytes or lists of ` +
        'these; names starting with "ce_", "cloudEvents", "events-" or "x-" are taken.',
    );
  });

  it.each([
    ['a number', 42],
    ['nothing', undefined],
    ['null', null],
    ['an object', { a: 'b' }],
    ['a list with a number', ['a', 1]],
    ['a list in a list', [['a']]],
    ['an ArrayBuffer', new ArrayBuffer(1)],
  ])('refuses %s as a value', (_what, value) => {
    expect(refusal({ tenant: value })).toMatch(/^the header "tenant" is neither text nor bytes \(event /);
  });

  it('refuses a name that is empty or too long in bytes', () => {
    expect(refusal({ '': 'a' })).toContain('empty or longer than 255 bytes');
    expect(refusal({ ['ü'.repeat(127)]: 'a' })).toBe('accepted');
    expect(refusal({ ['ü'.repeat(128)]: 'a' })).toContain('empty or longer than 255 bytes');
  });

  it('refuses text without a UTF-8 form, which would arrive as another text', () => {
    expect(refusal({ tenant: 'a\ud800' })).toContain('is not well-formed Unicode');
    expect(refusal({ tenant: ['a', '\udc00'] })).toContain('is not well-formed Unicode');
    expect(refusal({ ['a\ud800']: 'a' })).toContain('is not well-formed Unicode');
  });
});

describe('headers called like prototype members', () => {
  it('are headers like any other and touch no prototype', () => {
    const hostile = { constructor: 'b', toString: 'c' } as unknown as Record<string, string>;
    const { headers } = createEnvelope({ name: 'a', source: 's', data: 1, headers: hostile });
    expect(Object.entries(headers).sort()).toEqual([
      ['constructor', 'b'],
      ['toString', 'c'],
    ]);
    expect(Object.getPrototypeOf(headers)).toBeNull();
  });

  it('called __proto__ are refused, because clients lose them without a word', () => {
    expect(refusal(JSON.parse('{"__proto__": "a"}') as Record<string, string>)).toContain('not every broker client');
  });

  it('are absent until given', () => {
    expect(emptyHeaders()['toString']).toBeUndefined();
    expect(emptyHeaders()['__proto__']).toBeUndefined();
  });
});

it('bytes are Uint8Arrays and Buffers, nothing else', () => {
  expect([new Uint8Array(), Buffer.alloc(1)].every(isBytes)).toBe(true);
  expect(['a', [1], new ArrayBuffer(1), new Uint16Array(1), null, undefined].some(isBytes)).toBe(false);
});

import { describe, expect, it } from '@jest/globals';
import { codeOf, EventsError, isEventsError, messageOf, withoutCredentials } from './errors.js';

describe('EventsError', () => {
  const cause = new Error('ECONNREFUSED');
  const error = new EventsError('EVENTS_PUBLISH_FAILED', 'the broker refused the event', {
    event: 'orders.order.placed',
    handler: 'Mail.send',
    remedy: 'Look at the broker.',
    cause,
  });

  it('names the event, the handler and the remedy in its message, and keeps its cause', () => {
    expect(error.message).toBe(
      'the broker refused the event (event "orders.order.placed", handler "Mail.send"). Look at the broker.',
    );
    expect(error.cause).toBe(cause);
    expect(error).toMatchObject({
      name: 'EventsError',
      code: 'EVENTS_PUBLISH_FAILED',
      event: 'orders.order.placed',
      handler: 'Mail.send',
      remedy: 'Look at the broker.',
    });
    expect(error).toBeInstanceOf(Error);
  });

  it.each([
    [{}, 'broken. Mend it.'],
    [{ event: 'a' }, 'broken (event "a"). Mend it.'],
    [{ handler: 'H.m' }, 'broken (handler "H.m"). Mend it.'],
  ])('with %j reads %j', (details, message) => {
    const plain = new EventsError('EVENTS_OPTIONS_INVALID', 'broken', { ...details, remedy: 'Mend it.' });
    expect(plain.message).toBe(message);
    expect('cause' in plain).toBe(false);
  });

  it('is told from other errors, and by its code', () => {
    expect(isEventsError(error)).toBe(true);
    expect(isEventsError(error, 'EVENTS_PUBLISH_FAILED')).toBe(true);
    expect(isEventsError(error, 'EVENTS_PUBLISH_TIMEOUT')).toBe(false);
    expect([cause, { code: 'EVENTS_PUBLISH_FAILED' }, undefined].some((each) => isEventsError(each))).toBe(false);
  });
});

const cycle: Record<string, unknown> = {};
cycle['self'] = cycle;

describe('messageOf', () => {
  it.each<[unknown, string]>([
    [new TypeError('broken'), 'broken'],
    ['a text', 'a text'],
    [{ reason: 'x' }, '{"reason":"x"}'],
    [undefined, 'undefined'],
    [null, 'null'],
    [42, '42'],
    [1n, '[object BigInt]'],
    [Symbol('s'), 'Symbol(s)'],
    [cycle, '[object Object]'],
    [
      new AggregateError([new Error('::1 refused'), 'a text', new Error('127.0.0.1 refused')]),
      '::1 refused; a text; 127.0.0.1 refused',
    ],
    [new AggregateError([new Error('hidden')], 'all failed'), 'all failed'],
  ])('of %p is %j', (thrown, message) => expect(messageOf(thrown)).toBe(message));
});

describe('codeOf', () => {
  class PaymentRefused extends Error {
    override readonly name = 'PaymentRefused';
  }
  it.each<[unknown, string]>([
    [Object.assign(new Error('x'), { code: 'ECONNREFUSED' }), 'ECONNREFUSED'],
    [Object.assign(new TypeError('x'), { code: 406 }), 'TypeError'],
    [Object.assign(new TypeError('x'), { code: '' }), 'TypeError'],
    [{ code: '23505' }, '23505'],
    [new PaymentRefused(), 'PaymentRefused'],
    [{}, 'object'],
    ['a text', 'string'],
    [undefined, 'undefined'],
  ])('of %p is %j', (thrown, code) => expect(codeOf(thrown)).toBe(code));
});

describe('withoutCredentials', () => {
  it.each([
    ['amqp://user:secret@host:5672/v', 'amqp://user:***@host:5672/v'],
    ['cannot reach "amqps://user:secret@host" now', 'cannot reach "amqps://user:***@host" now'],
    ['postgresql+ssl://:secret@host/db', 'postgresql+ssl://:***@host/db'],
    ['AMQP://user:SECRET@host', 'AMQP://user:***@host'],
    ['a://u:secret@h1,b://u:secret@h2 c://u:secret@h3', 'a://u:***@h1,b://u:***@h2 c://u:***@h3'],
    ['amqp://user:sec:ret@host', 'amqp://user:***@host'],
    // What a URL should have escaped, and "Invalid URL" errors therefore quote:
    ['Invalid URL: amqp://user:sec@ret@host', 'Invalid URL: amqp://user:***@host'],
    ['Invalid URL: amqp://user:sec/ret@host/v', 'Invalid URL: amqp://user:***@host/v'],
    ['Invalid URL: amqp://user:1/secret#?@host', 'Invalid URL: amqp://user:***@host'],
    ['amqp://me@corp.com:secret@host', 'amqp://me@corp.com:***@host'],
  ])('%s becomes %s', (text, expected) => expect(withoutCredentials(text)).toBe(expected));

  it.each([
    'amqp://host:5672/v',
    'amqp://user@host',
    'http://host:8080 written by a@b.c',
    'note: me@corp.com',
    'localhost:9092',
  ])('leaves %s alone', (text) => expect(withoutCredentials(text)).toBe(text));
});

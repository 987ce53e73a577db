import { describe, expect, it } from '@jest/globals';
import { deadLetterError, deadLetterId } from './dead-letter.js';
import type { RawEvent } from './delivery.js';

describe('deadLetterError', () => {
  class OutOfStock extends Error {
    override readonly name = 'Renamed';
    readonly code = 'E_STOCK';
  }

  it('has the class, the code, the message and the stack', () => {
    const error = new OutOfStock('none left');
    expect(deadLetterError(error)).toEqual({
      class: 'OutOfStock',
      code: 'E_STOCK',
      message: 'none left',
      stack: error.stack,
    });
  });

  it.each<[what: unknown, error: ReturnType<typeof deadLetterError>]>([
    ['a text', { class: 'string', code: 'string', message: 'a text' }],
    [undefined, { class: 'undefined', code: 'undefined', message: 'undefined' }],
    [
      { code: 'C', message: 'm' },
      { class: 'object', code: 'C', message: '{"code":"C","message":"m"}' },
    ],
  ])('describes what is no Error: %j', (thrown, described) => {
    expect(deadLetterError(thrown)).toEqual(described);
  });

  it('cuts code, message and stack by their bytes, so that a dead letter near the size limit can be written', () => {
    const long = '☃'.repeat(100_000);
    const error = Object.assign(new Error(long), { code: long, stack: long });
    const { code, message, stack } = deadLetterError(error);
    const bytes = [code, message, stack ?? ''].map((each) => Buffer.byteLength(each));
    expect(bytes).toEqual([255, 1_023, 8_190]);
  });

  it('never leaves half a character, which jsonb columns refuse', () => {
    for (let padding = 0; padding < 4; padding++) {
      const { message } = deadLetterError(new Error('x'.repeat(padding) + '🙂'.repeat(10_000)));
      expect(message).toBe('x'.repeat(padding) + '🙂'.repeat(Math.floor((1_024 - padding) / 4)));
    }
    expect(deadLetterError(new Error('half \ud800 of one')).message.isWellFormed()).toBe(true);
  });

  it('keeps credentials to itself', () => {
    const described = deadLetterError(new Error('cannot reach amqp://shop:secret@broker'));
    expect(JSON.stringify(described)).not.toContain('secret');
    expect(described.message).toBe('cannot reach amqp://shop:***@broker');
  });
});

describe('deadLetterId', () => {
  const original: RawEvent = {
    place: { transport: 'kafka', address: 'orders.order', partition: 1, position: '7' },
    body: Buffer.from('{}'),
    headers: {},
  };
  const identity = { group: 'shop', handler: 'mail', envelope: { source: 's', id: '1' }, original };
  const elsewhere = { ...original, place: { ...original.place, position: '8' } };

  it('is the same for one event in one handler, wherever it comes from', () => {
    expect(deadLetterId({ ...identity, original: elsewhere })).toBe(deadLetterId(identity));
    expect(deadLetterId(identity)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  it('is another for another group, handler, source, id or body, and for another place where there is no id', () => {
    const { envelope: _, ...undecodable } = identity;
    const others = [
      identity,
      { ...identity, group: 'shop2' },
      { ...identity, handler: 'mails' },
      { ...identity, envelope: { source: 't', id: '1' } },
      { ...identity, envelope: { source: 's', id: '2' } },
      { ...identity, original: { ...original, body: Buffer.from('{ }') } },
      undecodable,
      { ...undecodable, original: elsewhere },
    ];
    expect(new Set(others.map(deadLetterId)).size).toBe(others.length);
  });
});

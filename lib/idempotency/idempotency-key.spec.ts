import 'reflect-metadata';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createEnvelope, type Envelope } from '../core/envelope.js';
import type { Subscription } from '../core/subscription.js';
import { IdempotencyKey } from './idempotency-key.decorator.js';
import { keyOf } from './idempotency-key.js';

const subscription = { handler: 'mail', group: 'shop', aliases: ['old'] } as unknown as Subscription;
const of = (id: string, data: unknown = {}): { subscription: Subscription; envelope: Envelope } => ({
  subscription,
  envelope: { ...createEnvelope({ name: 'orders.order.placed', source: 'test', data }), id },
});
const methodWith = (read: (event: Envelope<{ orderId: string }>) => string): object => {
  class Handlers {
    @IdempotencyKey(read)
    handle(): void {
      // Only its metadata counts.
    }
  }
  return Handlers.prototype.handle;
};
const plain = (): void => undefined;
const byOrder = methodWith((event) => event.data.orderId);

describe('what an event is remembered by', () => {
  test('its id, exactly as given, for the handler under all its names', () => {
    expect(keyOf(of(' Ä-1 '), plain)).toEqual({ consumer: 'shop.mail', aliases: ['shop.old'], eventId: ' Ä-1 ' });
  });

  test('the key of the handler’s own, where it has one', () => {
    expect(keyOf(of('1', { orderId: 'o-7' }), byOrder).eventId).toBe('key=o-7');
  });

  test('no id and no key ever meet: different things stay different', () => {
    const text = fc.oneof(
      fc.string({ minLength: 1 }),
      fc.tuple(fc.constantFrom('key=', 'id=', 'id=key=', 'key=id='), fc.string()).map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(text, text, (a, b) => {
        const id = (each: string): string => keyOf(of(each), plain).eventId;
        const own = (each: string): string => keyOf(of('1', { orderId: each }), byOrder).eventId;
        expect(id(a)).not.toBe(own(b));
        expect(id(a) === id(b)).toBe(a === b);
        expect(own(a) === own(b)).toBe(a === b);
      }),
      { numRuns: 1_000 },
    );
  });

  test.each<[string, () => unknown]>([
    ['threw: no order', () => fail('no order')],
    ['returned an empty text', () => ''],
    ['returned undefined', () => undefined],
    ['returned null', () => null],
    ['returned a value of type number', () => 7],
    ['returned a value of type object', async () => 'o-7'],
  ])('a function that %s is a bad event, named with its handler and the remedy', (problem, read) => {
    const run = (): unknown => keyOf(of('1'), methodWith(read as () => string));
    expect(run).toThrow(
      expect.objectContaining({
        code: 'EVENTS_IDEMPOTENCY_KEY_INVALID',
        event: 'orders.order.placed',
        handler: 'mail',
        message: expect.stringMatching(
          new RegExp(`${problem}.*event "orders.order.placed", handler "mail".*return a text`),
        ) as unknown,
      }),
    );
  });
});

function fail(message: string): never {
  throw new Error(message);
}

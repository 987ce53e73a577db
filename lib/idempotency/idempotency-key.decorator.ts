import type { Envelope } from '../core/envelope.js';
import type { IdempotencyKey as StoredKey } from './idempotency-store.js';

/** What an {@link IdempotencyStore} remembers. */
export type IdempotencyKey = StoredKey;

/** Reads the key out of an event: a text that is not empty, always the same one for the same event. */
export type IdempotencyKeyReader = (event: Envelope) => string;

const IDEMPOTENCY_KEY_METADATA = 'nestjs-events:idempotency-key';

/**
 * Says what makes two events the same for this handler, instead of their ids: `@IdempotencyKey((event: Envelope<Order>) => event.data.id)`
 * lets it run once per order, however often and under whatever ids the order is announced. Beside `@OnEvent`.
 *
 * A function that throws, or returns anything but a non-empty text, sends the event to the dead letters with
 * EVENTS_IDEMPOTENCY_KEY_INVALID. Keys never meet event ids: the same text as both is two things.
 */
export function IdempotencyKey<T = unknown>(read: (event: Envelope<T>) => string): MethodDecorator {
  return (_target, _method, descriptor: PropertyDescriptor) => {
    Reflect.defineMetadata(IDEMPOTENCY_KEY_METADATA, read, descriptor.value as object);
  };
}

/** What a handler's method says about its key; `undefined` when the event's id is the key. */
export function idempotencyKeyReader(method: object): IdempotencyKeyReader | undefined {
  return Reflect.getMetadata(IDEMPOTENCY_KEY_METADATA, method) as IdempotencyKeyReader | undefined;
}

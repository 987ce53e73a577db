import type { IdempotencyKey } from '../idempotency/idempotency-store.js';

/** A key of the consumer that most cases use. */
export function keyOf(eventId: string, overrides: Partial<IdempotencyKey> = {}): IdempotencyKey {
  return { consumer: 'shop.handler', aliases: [], eventId, ...overrides };
}

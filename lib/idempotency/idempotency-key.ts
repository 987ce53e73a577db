import type { Attempt } from '../core/delivery.js';
import type { Envelope } from '../core/envelope.js';
import { EventsError, messageOf } from '../core/errors.js';
import { consumerName } from '../core/subscription.js';
import { idempotencyKeyReader, type IdempotencyKeyReader } from './idempotency-key.decorator.js';
import type { IdempotencyKey } from './idempotency-store.js';

/** Stands before a handler's own key, so that it never is the same as an event's id. */
const KEY_PREFIX = 'key=';
/** Stands before the rare id that begins like one of these prefixes; every other id is kept exactly as given. */
const ID_PREFIX = 'id=';

/**
 * What an event is remembered by: its id, or what the `@IdempotencyKey` of the handler's method reads out of it.
 * Throws EVENTS_IDEMPOTENCY_KEY_INVALID.
 */
export function keyOf(
  { subscription, envelope }: Pick<Attempt, 'subscription' | 'envelope'>,
  method: object,
): IdempotencyKey {
  const { handler, group, aliases } = subscription;
  const read = idempotencyKeyReader(method);
  return {
    consumer: consumerName(subscription),
    aliases: aliases.map((alias) => consumerName({ group, handler: alias })),
    eventId: read === undefined ? storedId(envelope.id) : KEY_PREFIX + ownKey(read, envelope, handler),
  };
}

function storedId(id: string): string {
  return id.startsWith(KEY_PREFIX) || id.startsWith(ID_PREFIX) ? ID_PREFIX + id : id;
}

function ownKey(read: IdempotencyKeyReader, envelope: Envelope, handler: string): string {
  const concerned = { event: envelope.name, handler };
  let key: unknown;
  try {
    key = read(envelope);
  } catch (cause) {
    throw invalid(`its function threw: ${messageOf(cause)}`, concerned, cause);
  }
  if (typeof key === 'string' && key !== '') return key;
  throw invalid(`its function returned ${key === '' ? 'an empty text' : typeOf(key)}`, concerned);
}

const typeOf = (value: unknown): string =>
  value === null ? 'null' : value === undefined ? 'undefined' : `a value of type ${typeof value}`;

function invalid(problem: string, concerned: { event: string; handler: string }, cause?: unknown): EventsError {
  return new EventsError('EVENTS_IDEMPOTENCY_KEY_INVALID', `@IdempotencyKey found no key in the event: ${problem}`, {
    ...concerned,
    cause,
    remedy: 'Let it return a text that is not empty, for every event of these patterns; or mend the publisher.',
  });
}

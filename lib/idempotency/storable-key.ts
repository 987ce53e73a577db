import { EventsError } from '../core/errors.js';
import { isStorableText } from '../typeorm/postgres-text.js';
import type { IdempotencyKey } from './idempotency-store.js';

/** A row of the primary key's index holds 2,704 bytes. */
const MAX_ID_BYTES = 2_000;
const MAX_KEY_BYTES = 2_600;

/** An id the database cannot hold is a bad event, not an outage. */
export function assertStorable({ consumer, aliases, eventId }: IdempotencyKey): void {
  const bytes = Buffer.byteLength(eventId);
  const longestName = Math.max(...[consumer, ...aliases].map((name) => Buffer.byteLength(name)));
  const problem = !isStorableText(eventId)
    ? 'contains U+0000 or is not well-formed Unicode'
    : bytes > MAX_ID_BYTES || bytes + longestName > MAX_KEY_BYTES
      ? `is too long (${bytes} bytes)`
      : undefined;
  if (problem === undefined) return;
  throw new EventsError(
    'EVENTS_ENVELOPE_INVALID',
    `the event's id (or its handler's own key) ${problem}, so that it cannot be remembered`,
    {
      handler: consumer,
      remedy: `Its publisher has to give an id of at most ${MAX_ID_BYTES} bytes; or the handler another @IdempotencyKey, or { idempotent: false }.`,
    },
  );
}

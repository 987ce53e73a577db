import { isBatch } from '../core/batch.js';
import type { HandlerArguments } from '../core/events-context.js';

/** The event's data, or one property of it; in a batch handler, that of each event. */
export function payloadOf([data, , attempt]: HandlerArguments, property?: string): unknown {
  return isBatch(attempt) ? attempt.envelopes.map((envelope) => part(envelope.data, property)) : part(data, property);
}

/** Only what the event itself says: `@Payload('constructor')` is no way to a prototype. */
function part(data: unknown, property: string | undefined): unknown {
  if (property === undefined) return data;
  return typeof data === 'object' && data !== null && Object.hasOwn(data, property)
    ? (data as Record<string, unknown>)[property]
    : undefined;
}

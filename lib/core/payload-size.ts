import { EventsError } from './errors.js';

/** Refuses a body over the limit before it is sent. Throws EVENTS_PAYLOAD_TOO_LARGE. */
export function assertPayloadSize(body: Uint8Array | null, maxBytes: number, event: string): void {
  const size = body?.byteLength ?? 0;
  if (size <= maxBytes) return;
  throw new EventsError('EVENTS_PAYLOAD_TOO_LARGE', `the data has ${size} bytes, more than the ${maxBytes} allowed`, {
    event,
    remedy: 'Publish a reference to where the data is kept, or raise maxPayloadBytes together with the broker limit.',
  });
}

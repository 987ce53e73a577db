import { uuidv7 } from 'uuidv7';
import { deadLetterError, deadLetterId, type DeadLetter } from '../core/dead-letter.js';
import { envelopeOf, type Delivery, type DeliveryHistory } from '../core/delivery.js';
import type { Envelope } from '../core/envelope.js';

export interface Failed {
  readonly delivery: Delivery;
  readonly history: DeliveryHistory;
  readonly error: unknown;
}

/** @param now milliseconds since the Unix epoch. */
export function toDeadLetter({ delivery, history, error }: Failed, now: number): DeadLetter {
  const { group, handler } = delivery.subscription;
  const envelope = envelopeOf(delivery);
  return {
    id: idOf(delivery),
    group,
    handler,
    ...(envelope === undefined ? {} : { event: envelope.name, eventId: envelope.id, ...traceOf(envelope) }),
    reason: 'failed',
    error: deadLetterError(error),
    attempts: history.attempt,
    firstFailureAt: new Date(history.firstFailureAt ?? now).toISOString(),
    lastFailureAt: new Date(now).toISOString(),
    original: delivery.raw,
  };
}

/**
 * n.b. AMQP numbers nothing: of two that cannot be decoded and have the same bytes nothing tells whether they are one. Then
 * each is a dead letter of its own, as one that is listed twice does less harm than one that is not listed.
 */
function idOf(delivery: Delivery): string {
  const { subscription, raw } = delivery;
  const envelope = envelopeOf(delivery);
  if (envelope === undefined && raw.place.position === undefined) return uuidv7();
  const { group, handler } = subscription;
  return deadLetterId({ group, handler, envelope, original: raw });
}

/** The dead letter with the key of its event, which a structured one has in its body alone: a store orders by it. */
export function keyed(letter: DeadLetter, envelope: Envelope | undefined): DeadLetter {
  const { original } = letter;
  if (original.key !== undefined || envelope?.key === undefined) return letter;
  return { ...letter, original: { ...original, key: Buffer.from(envelope.key, 'utf8') } };
}

/** n.b. `<version>-<trace id>-<parent id>-<flags>`: https://www.w3.org/TR/trace-context/#traceparent-header */
function traceOf({ traceparent }: Envelope): { traceId?: string } {
  const traceId = /^[0-9a-f]{2}-([0-9a-f]{32})-/.exec(traceparent ?? '')?.[1];
  return traceId === undefined ? {} : { traceId };
}

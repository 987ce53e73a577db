import type { ConsumeMessage } from 'amqplib';
import type { Reading } from '../../core/cloudevents.js';
import { deadLetterId, type DeadLetter, type DeadLetterReason } from '../../core/dead-letter.js';
import { fromCarriedDeadLetter } from '../../core/dead-letter-headers.js';
import type { Envelope } from '../../core/envelope.js';
import { toEnvelope, toHeaders, toKey, withoutBrokerHeaders } from './rabbitmq.mapper.js';

/** Whose queue a message lies in, and how it is read. */
export interface LetterContext {
  readonly group: string;
  readonly handler: string;
  /** The transport's name. */
  readonly transport: string;
  readonly reading: Reading;
}

/** Of any message in a queue of dead letters, whoever has put it there. Never throws. */
export function toDeadLetter(message: ConsumeMessage, context: LetterContext): DeadLetter {
  const headers = withoutBrokerHeaders(toHeaders(message));
  const ours = fromCarriedDeadLetter(headers, { body: message.content, ...toKey(headers) });
  if (ours === undefined) return brokersOwn(message, context);
  // Written before dead letters had ids.
  if (ours.id === '') return { ...ours, id: deadLetterId({ ...ours, envelope: envelopeIn(message, context.reading) }) };
  return ours;
}

/** One that the broker made: its TTL passed, its queue was too long, or it was given back too often. */
function brokersOwn(message: ConsumeMessage, { group, handler, transport, reading }: LetterContext): DeadLetter {
  const { reason, address, seconds } = latestDeath(message);
  const at = new Date(seconds * 1_000).toISOString();
  const headers = toHeaders(message);
  const messageId: unknown = message.properties.messageId;
  const place = { transport, address, ...(typeof messageId === 'string' ? { position: messageId } : {}) };
  const envelope = envelopeIn(message, reading);
  const original = { place, body: message.content, headers, ...toKey(headers) };
  return {
    // n.b. RabbitMQ tells seconds: two without any id, of the same bytes and moved in the same one, are taken for one.
    id: deadLetterId({ group, handler, envelope, original: { ...original, place: { position: at, ...place } } }),
    group,
    handler,
    ...(envelope === undefined ? {} : { event: envelope.name, eventId: envelope.id }),
    reason: REASONS.get(reason) ?? 'rejected',
    error: { class: 'RabbitMQ', code: reason, message: `RabbitMQ itself moved the event here: ${reason}` },
    attempts: Number(message.properties.headers?.['x-delivery-count'] ?? 0) || 0,
    firstFailureAt: at,
    lastFailureAt: at,
    original,
  };
}

const REASONS: ReadonlyMap<string, DeadLetterReason> = new Map([
  ['expired', 'expired'],
  ['maxlen', 'maxlen'],
  ['delivery_limit', 'delivery-limit'],
  ['rejected', 'rejected'],
]);

/** For a name and an id: an id that each reading makes anew is none. */
function envelopeIn(message: ConsumeMessage, { serializer, onMissingId }: Reading): Envelope | undefined {
  try {
    return toEnvelope(message, { serializer, onMissingId: onMissingId === 'handle' ? 'hash' : onMissingId });
  } catch {
    return undefined;
  }
}

interface Death {
  /** `expired`, `delivery_limit`, `maxlen` or `rejected`. */
  readonly reason: string;
  readonly address: string;
  /** Since the Unix epoch. */
  readonly seconds: number;
}

/** n.b. `x-death` lists the latest first, and is what its writer wants it to be when no broker wrote it */
function latestDeath({ properties }: ConsumeMessage): Death {
  const deaths: unknown = properties.headers?.['x-death'];
  const death = recordOf(Array.isArray(deaths) ? deaths[0] : undefined);
  const { reason, exchange, 'routing-keys': keys, time } = death;
  const { value } = recordOf(time);
  return {
    reason: typeof reason === 'string' ? reason : 'unknown',
    address: [exchange, Array.isArray(keys) ? (keys[0] as unknown) : undefined].filter(isText).join('/'),
    seconds: typeof value === 'number' && Math.abs(value) <= LATEST_SECONDS ? value : 0,
  };
}

const LATEST_SECONDS = 8.64e12;

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

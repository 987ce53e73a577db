import type { RawEvent } from './delivery.js';
import type { Envelope } from './envelope.js';
import { codeOf, messageOf, withoutCredentials } from './errors.js';
import { uuidFrom } from './uuid.js';

/**
 * Why an event is a dead letter. `failed`: by our decision, after its attempts or at once. The others are the broker's own:
 * its time to live was over, its queue too long, it was given back too often, or a program refused it.
 */
export type DeadLetterReason = (typeof DEAD_LETTER_REASONS)[number];
export const DEAD_LETTER_REASONS = ['failed', 'expired', 'maxlen', 'delivery-limit', 'rejected'] as const;

/** A parked event and why. The original body, headers and key are kept as they came. */
export interface DeadLetter {
  /**
   * Its own id, a UUID: the same wherever it is read. It is made of what it is about (see {@link deadLetterId}), and so is
   * the same, too, when an event is written twice; unless neither an id nor a place tells that event from others.
   */
  readonly id: string;
  readonly group: string;
  readonly handler: string;
  readonly original: RawEvent;
  /** The event's name and id, known when it could be decoded. */
  readonly event?: string;
  readonly eventId?: string;
  readonly reason: DeadLetterReason;
  readonly error: DeadLetterError;
  readonly attempts: number;
  /** The trace that the event was published in, out of its `traceparent`: 32 hexadecimal digits. */
  readonly traceId?: string;
  /** RFC 3339. */
  readonly firstFailureAt: string;
  readonly lastFailureAt: string;
}

export interface DeadLetterError {
  /** The name of the error's class. */
  readonly class: string;
  /** The error's stable code, else its class. */
  readonly code: string;
  readonly message: string;
  /** Cut, so that a dead letter near the broker's size limit can still be written. */
  readonly stack?: string;
}

/** How a broker keeps the body of a dead letter: the event's own, or a description of it in JSON with the original inside. */
export type DeadLetterBody = 'original' | 'json';

const MAX_CODE_BYTES = 256;
const MAX_MESSAGE_BYTES = 1_024;
const MAX_STACK_BYTES = 8_192;

/** Describes an error within bounds, and without the credentials that some clients put into their messages. */
export function deadLetterError(error: unknown): DeadLetterError {
  const described = {
    class: cut(classOf(error), MAX_CODE_BYTES),
    code: cut(codeOf(error), MAX_CODE_BYTES),
    message: cut(withoutCredentials(messageOf(error)), MAX_MESSAGE_BYTES),
  };
  const stack = error instanceof Error ? error.stack : undefined;
  return stack === undefined ? described : { ...described, stack: cut(withoutCredentials(stack), MAX_STACK_BYTES) };
}

/** What a dead letter is about: two of one event for one handler are the same, whoever writes them. */
export interface DeadLetterIdentity {
  readonly group: string;
  readonly handler: string;
  readonly envelope?: Pick<Envelope, 'source' | 'id'> | undefined;
  readonly original: RawEvent;
}

/**
 * The same for every time one event fails in one handler. The body counts, so that two events to which a publisher gave
 * one id stay two; without an id, the place counts.
 */
export function deadLetterId({ group, handler, envelope, original }: DeadLetterIdentity): string {
  const { transport, address, partition, position } = original.place;
  const about =
    envelope === undefined ? [transport, address, partition, position] : ['event', envelope.source, envelope.id];
  return uuidFrom(JSON.stringify([group, handler, ...about]), original.body ?? '');
}

function classOf(error: unknown): string {
  return error instanceof Error ? error.constructor.name || error.name : typeof error;
}

/** Never leaves half a character, which has no UTF-8 form and which PostgreSQL's jsonb refuses. */
function cut(text: string, maxBytes: number): string {
  const whole = text.slice(0, maxBytes).toWellFormed();
  const bytes = Buffer.from(whole);
  if (bytes.byteLength <= maxBytes) return whole;
  let end = maxBytes;
  // n.b. in UTF-8 the bytes of a character that follow its first are 10xxxxxx
  while (((bytes[end] as number) & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}

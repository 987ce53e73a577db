import type { Place, RawEvent } from './delivery.js';
import { emptyHeaders, isBytes, type HeaderValue, type Headers } from './headers.js';

/** A parked event and why. The original body, headers and key are kept as they came. */
export interface DeadLetter {
  readonly group: string;
  readonly handler: string;
  readonly original: RawEvent;
  /** Known when the event could be decoded. */
  readonly event?: string;
  readonly id?: string;
  readonly error: DeadLetterError;
  readonly attempts: number;
  /** RFC 3339. */
  readonly firstFailureAt: string;
  readonly lastFailureAt: string;
}

export interface DeadLetterError {
  /** The error's stable code, else its class. */
  readonly code: string;
  readonly message: string;
  /** Cut, so that a dead letter near the broker's size limit can still be written. */
  readonly stack?: string;
}

/** Prefix of the headers that turn an original record into a dead letter. */
const PREFIX = 'events-dl-';
const MAX_CODE = 256;
const MAX_MESSAGE = 1_024;
const MAX_STACK = 8_192;

/** Describes an error within bounds. */
export function deadLetterError(code: string, message: string, stack: string | undefined): DeadLetterError {
  const described = { code: cut(code, MAX_CODE), message: cut(message, MAX_MESSAGE) };
  return stack === undefined ? described : { ...described, stack: cut(stack, MAX_STACK) };
}

/** The original headers plus ours: how a broker that has headers carries a dead letter. The body is the original body. */
export function toDeadLetterHeaders(letter: DeadLetter): Record<string, HeaderValue> {
  const { place } = letter.original;
  const facts: Record<string, string | undefined> = {
    group: letter.group,
    handler: letter.handler,
    event: letter.event,
    id: letter.id,
    'error-code': letter.error.code,
    'error-message': letter.error.message,
    'error-stack': letter.error.stack,
    attempts: String(letter.attempts),
    'first-failure-at': letter.firstFailureAt,
    'last-failure-at': letter.lastFailureAt,
    transport: place.transport,
    address: place.address,
    partition: place.partition?.toString(),
    position: place.position,
  };
  const headers = withoutFacts(letter.original.headers);
  for (const [name, value] of Object.entries(facts)) if (value !== undefined) headers[PREFIX + name] = value;
  return headers;
}

/** The other way round. `undefined` when the headers are not those of a dead letter of ours. */
export function fromDeadLetterHeaders(
  headers: Headers,
  stored: { body: Uint8Array | null; key?: Uint8Array },
): DeadLetter | undefined {
  const fact = (name: string): string | undefined => textOf(headers[PREFIX + name]);
  const group = fact('group');
  const handler = fact('handler');
  if (group === undefined || handler === undefined) return undefined;
  const stack = fact('error-stack');
  return {
    group,
    handler,
    ...optional('event', fact('event')),
    ...optional('id', fact('id')),
    error: { code: fact('error-code') ?? '', message: fact('error-message') ?? '', ...optional('stack', stack) },
    attempts: Number(fact('attempts') ?? 0),
    firstFailureAt: fact('first-failure-at') ?? '',
    lastFailureAt: fact('last-failure-at') ?? '',
    original: {
      place: placeFrom(fact),
      body: stored.body,
      headers: withoutFacts(headers),
      ...(stored.key === undefined ? {} : { key: stored.key }),
    },
  };
}

function withoutFacts(headers: Headers): Record<string, HeaderValue> {
  const original = emptyHeaders();
  for (const [name, value] of Object.entries(headers)) if (!name.startsWith(PREFIX)) original[name] = value;
  return original;
}

/** Never leaves half a character, which has no UTF-8 form and which PostgreSQL's jsonb refuses. */
function cut(text: string, maxLength: number): string {
  return text.slice(0, maxLength).toWellFormed();
}

function placeFrom(fact: (name: string) => string | undefined): Place {
  const partition = fact('partition');
  return {
    transport: fact('transport') ?? '',
    address: fact('address') ?? '',
    ...(partition === undefined ? {} : { partition: Number(partition) }),
    ...optional('position', fact('position')),
  };
}

function optional<K extends string>(name: K, value: string | undefined): Partial<Record<K, string>> {
  return value === undefined ? {} : ({ [name]: value } as Record<K, string>);
}

function textOf(value: HeaderValue | undefined): string | undefined {
  if (typeof value === 'string') return value;
  return isBytes(value) ? Buffer.from(value).toString('utf8') : undefined;
}

import { DEAD_LETTER_REASONS, type DeadLetter, type DeadLetterBody, type DeadLetterReason } from './dead-letter.js';
import { fromDeadLetterJson, toDeadLetterJson } from './dead-letter-json.js';
import type { Place } from './delivery.js';
import { emptyHeaders, isBytes, type HeaderValue, type Headers } from './headers.js';
import { springHeaders, SPRING_PREFIX } from './spring-headers.js';

/** Prefix of the headers that turn an original event into a dead letter. */
const PREFIX = 'events-dl-';
/** Headers of the original that have names of ours or of Spring's: they are kept in here. */
const ASIDE = `${PREFIX}original-headers`;
/** How the body is kept. Absent: as it came. */
const BODY = `${PREFIX}body`;
const CONTENT_TYPE = 'content-type';
/** All names that are this library's, also those that a transport uses to carry headers. */
const OWN_PREFIX = 'events-';

export interface DeadLetterForm {
  /** Default `original`. */
  readonly body?: DeadLetterBody | undefined;
  /** A description longer than this is not used: the body stays the original. In bytes; default: no limit. */
  readonly maxBytes?: number;
  /** Spring's numbers as the bytes that Java reads, as on Kafka, or as text. */
  readonly numbers: 'bytes' | 'text';
}

interface CarryOptions extends DeadLetterForm {
  /** `false`: without Spring's names, where there is no room for them. Default true. */
  readonly aliases?: boolean;
}

/** A dead letter as a broker that has headers carries it. */
export interface CarriedDeadLetter {
  readonly headers: Record<string, HeaderValue>;
  readonly body: Uint8Array | null;
}

/**
 * The dead letter as it is written: the original headers plus ours, plus Spring's names for them; the original body, or a
 * description of it. Where a broker finds that too large, the next is smaller: metadata is cut, the bytes of the event
 * never.
 */
export function* carryDeadLetter(letter: DeadLetter, form: DeadLetterForm): Generator<CarriedDeadLetter, void> {
  yield carry(letter, form);
  const { stack: _, ...error } = letter.error;
  const { numbers } = form;
  const small = { ...letter, error };
  yield carry(small, { numbers, aliases: false });
  yield carry({ ...small, original: { ...letter.original, headers: {} } }, { numbers, aliases: false });
}

function carry(letter: DeadLetter, { body, maxBytes, numbers, aliases = true }: CarryOptions): CarriedDeadLetter {
  const { original } = letter;
  const described = body === 'json' ? toDeadLetterJson(letter) : undefined;
  const asJson = described !== undefined && described.byteLength <= (maxBytes ?? Infinity);
  const headers = plainHeaders(original.headers, asJson ? isTakenInJson : isTaken);
  for (const [name, value] of Object.entries(factsOf(letter))) {
    if (value !== undefined) headers[PREFIX + name] = value;
  }
  if (aliases) Object.assign(headers, springHeaders(letter, numbers));
  if (!asJson) return { headers, body: original.body };
  Object.assign(headers, { [BODY]: 'json', [CONTENT_TYPE]: 'application/json' });
  return { headers, body: described };
}

/** The other way round. `undefined` when the headers are not those of a dead letter of ours. */
export function fromCarriedDeadLetter(
  headers: Headers,
  stored: { body: Uint8Array | null; key?: Uint8Array },
): DeadLetter | undefined {
  const fact = (name: string): string | undefined => textOf(headers[PREFIX + name]);
  const group = fact('group');
  const handler = fact('handler');
  if (group === undefined || handler === undefined) return undefined;
  return {
    id: fact('id') ?? '',
    group,
    handler,
    ...optional('event', fact('event')),
    ...optional('eventId', fact('event-id')),
    reason: reasonFrom(fact('reason')),
    ...optional('traceId', fact('trace-id')),
    error: {
      class: fact('error-class') ?? '',
      code: fact('error-code') ?? '',
      message: fact('error-message') ?? '',
      ...optional('stack', fact('error-stack')),
    },
    attempts: numberFrom(fact('attempts')) ?? 0,
    firstFailureAt: fact('first-failure-at') ?? '',
    lastFailureAt: fact('last-failure-at') ?? '',
    original: {
      place: placeFrom(fact),
      body: fact('body') === 'json' ? fromDeadLetterJson(stored.body) : stored.body,
      headers: originalHeaders(headers, fact('body') === 'json' ? isTakenInJson : isTaken),
      ...(stored.key === undefined ? {} : { key: stored.key }),
    },
  };
}

function factsOf(letter: DeadLetter): Record<string, string | undefined> {
  const { error, original } = letter;
  const { transport, address, partition, position, timestamp } = original.place;
  return {
    id: letter.id,
    group: letter.group,
    handler: letter.handler,
    event: letter.event,
    'event-id': letter.eventId,
    reason: letter.reason,
    'trace-id': letter.traceId,
    'error-class': error.class,
    'error-code': error.code,
    'error-message': error.message,
    'error-stack': error.stack,
    attempts: String(letter.attempts),
    'first-failure-at': letter.firstFailureAt,
    'last-failure-at': letter.lastFailureAt,
    transport,
    address,
    partition: partition?.toString(),
    position,
    timestamp: timestamp?.toString(),
  };
}

/** Those that need no other place. */
function plainHeaders(original: Headers, taken: (name: string) => boolean): Record<string, HeaderValue> {
  const plain = emptyHeaders();
  const aside: [string, unknown][] = [];
  for (const [name, value] of Object.entries(original)) {
    if (taken(name)) aside.push([name, toJson(value)]);
    else plain[name] = value;
  }
  if (aside.length > 0) plain[ASIDE] = JSON.stringify(aside);
  return plain;
}

function originalHeaders(carried: Headers, taken: (name: string) => boolean): Headers {
  const original = emptyHeaders();
  for (const [name, value] of Object.entries(carried)) if (!taken(name)) original[name] = value;
  for (const [name, value] of readAside(textOf(carried[ASIDE]))) original[name] = value;
  return original;
}

const isTaken = (name: string): boolean => name.startsWith(OWN_PREFIX) || name.startsWith(SPRING_PREFIX);
const isTakenInJson = (name: string): boolean => isTaken(name) || name === CONTENT_TYPE;

/** A list, so that no name can mean anything to an object. Bytes are `{ "base64": … }`. */
function toJson(value: HeaderValue): unknown {
  if (isBytes(value)) return { base64: Buffer.from(value).toString('base64') };
  return typeof value === 'string' ? value : value.map(toJson);
}

/** Nothing from a header that somebody else has written. */
function readAside(text: string | undefined): [string, HeaderValue][] {
  if (text === undefined) return [];
  try {
    return (JSON.parse(text) as [unknown, unknown][]).map(([name, value]) => [String(name), fromJson(value)]);
  } catch {
    return [];
  }
}

function fromJson(value: unknown): HeaderValue {
  if (Array.isArray(value)) return value.map((each) => fromJson(each) as string | Uint8Array);
  if (typeof value === 'string') return value;
  return new Uint8Array(Buffer.from((value as { base64: string }).base64, 'base64'));
}

function placeFrom(fact: (name: string) => string | undefined): Place {
  const [partition, timestamp] = [numberFrom(fact('partition')), numberFrom(fact('timestamp'))];
  return {
    transport: fact('transport') ?? '',
    address: fact('address') ?? '',
    ...(partition === undefined ? {} : { partition }),
    ...optional('position', fact('position')),
    ...(timestamp === undefined ? {} : { timestamp }),
  };
}

/** Somebody else may have written these headers. */
function numberFrom(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function reasonFrom(text: string | undefined): DeadLetterReason {
  return DEAD_LETTER_REASONS.find((reason) => reason === text) ?? 'failed';
}

function optional<K extends string>(name: K, value: string | undefined): Partial<Record<K, string>> {
  return value === undefined ? {} : ({ [name]: value } as Record<K, string>);
}

function textOf(value: HeaderValue | undefined): string | undefined {
  if (typeof value === 'string') return value;
  return isBytes(value) ? Buffer.from(value).toString('utf8') : undefined;
}

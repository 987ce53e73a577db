import { isUtf8 } from 'node:buffer';
import {
  CLOUD_EVENT_ATTRIBUTES,
  fromAttributes,
  fromCloudEvent,
  isStructured,
  toCloudEvent,
  type Reading,
} from '../../core/cloudevents.js';
import type { DeadLetter } from '../../core/dead-letter.js';
import { carryDeadLetter, fromCarriedDeadLetter, type DeadLetterForm } from '../../core/dead-letter-headers.js';
import type { Delivery, Place, RawEvent } from '../../core/delivery.js';
import type { Envelope } from '../../core/envelope.js';
import { emptyHeaders, isBytes, type HeaderValue, type Headers } from '../../core/headers.js';
import type { Serializer } from '../../core/serializer.js';
import type { IncomingRecord, OutgoingRecord, RecordHeaders } from './kafka.client.js';

/** CloudEvents Kafka binding, binary mode. @see https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md */
const PREFIX = 'ce_';
const CONTENT_TYPE = 'content-type';
/** Kafka's headers are bytes: this one names those that were bytes before, as JSON: `{"name": [indices]}`. */
const BINARY_HEADERS = 'events-binary-headers';
const SETTLED = 'events-dl-settled';
const OWN_HEADERS = new Set([CONTENT_TYPE]);
/** Attribute → header. Made once: for each of a record's attributes it would be a new string. */
const HEADER_OF: Readonly<Record<string, string>> = Object.fromEntries(
  CLOUD_EVENT_ATTRIBUTES.map((name) => [name, PREFIX + name]),
);
const NAME_HEADER = `${PREFIX}type`;
const NO_HEADERS: Headers = Object.freeze(emptyHeaders());

export function toRecord(envelope: Envelope, topic: string, serializer: Serializer): OutgoingRecord {
  const { attributes, contentType, body } = toCloudEvent(envelope, serializer);
  const headers = encodeHeaders(envelope.headers);
  for (const name in attributes) headers[PREFIX + name] = attributes[name] as string;
  headers[CONTENT_TYPE] = contentType;
  return {
    topic,
    key: envelope.key === undefined ? null : Buffer.from(envelope.key, 'utf8'),
    value: bytes(body),
    headers,
  };
}

/** Where a record lies. */
export interface RecordPlace {
  readonly transport: string;
  readonly topic: string;
  readonly partition: number;
}

/** A record as it came. What is rarely asked for is made when asked for: it would cost more than a quick handler does. */
export class KafkaRawEvent implements RawEvent {
  readonly body: Buffer | null;
  readonly key?: Buffer;
  #headers: Headers | undefined;

  constructor(
    private readonly record: IncomingRecord,
    private readonly from: RecordPlace,
  ) {
    this.body = record.value;
    if (record.key !== null) this.key = record.key;
  }

  get place(): Place {
    const { transport, topic, partition } = this.from;
    const { offset, timestamp } = this.record;
    return { transport, address: topic, partition, position: offset, timestamp: Number(timestamp) };
  }

  get headers(): Headers {
    return (this.#headers ??= decodeHeaders(this.record.headers));
  }
}

/** The event's name without decoding the rest, so that what nobody handles costs little. `undefined`: only decoding tells. */
export function nameOf(record: IncomingRecord): string | undefined {
  return textOf(record.headers?.[NAME_HEADER]);
}

export function toContent(record: IncomingRecord, raw: RawEvent, reading: Reading): Delivery['content'] {
  try {
    return { envelope: toEnvelope(record, raw, reading) };
  } catch (undecodable) {
    return { undecodable };
  }
}

function toEnvelope(record: IncomingRecord, raw: RawEvent, reading: Reading): Envelope {
  const headers = record.headers ?? {};
  const contentType = textOf(headers[CONTENT_TYPE]);
  // Publishers that set only the record's key mean the same as those that also send the attribute.
  const { body, key } = raw;
  if (isStructured(contentType)) {
    return fromCloudEvent(
      { headers: raw.headers, contentType, body, key, prefixes: [PREFIX], ownHeaders: OWN_HEADERS },
      reading,
    );
  }
  const attribute = (name: string): string | undefined => textOf(headers[HEADER_OF[name] ?? PREFIX + name]);
  return fromAttributes({ attribute, headers: usersHeaders(raw, headers), contentType, body, key }, reading);
}

/** The user's headers are few or none, and most records share the same none. */
function usersHeaders(raw: RawEvent, headers: RecordHeaders): Headers {
  let users: Record<string, HeaderValue> | undefined;
  for (const name in headers) {
    if (name.startsWith(PREFIX) || OWN_HEADERS.has(name)) continue;
    const value = raw.headers[name];
    if (value !== undefined) (users ??= emptyHeaders())[name] = value;
  }
  return users ?? NO_HEADERS;
}

/** An attribute's text. One that is repeated, or no UTF-8, is no attribute. */
function textOf(value: RecordHeaders[string]): string | undefined {
  if (Buffer.isBuffer(value)) return isUtf8(value) ? value.toString('utf8') : undefined;
  return typeof value === 'string' ? value : undefined;
}

/** A raw event of this transport, decoded as when it arrived. */
export function decodeRaw(raw: RawEvent, reading: Reading): Delivery['content'] {
  const { body, key, headers } = raw;
  const record = {
    ...{ offset: raw.place.position ?? '', timestamp: '', value: bytes(body), headers: encodeHeaders(headers) },
    key: key === undefined ? null : bytes(key),
  };
  return toContent(record, raw, reading);
}

/** The original record with its dead letter's facts as headers more; the next is smaller. */
export function* toDeadLetterRecords(
  letter: DeadLetter,
  topic: string,
  form: Omit<DeadLetterForm, 'numbers'>,
): Generator<OutgoingRecord, void> {
  for (const { headers, body } of carryDeadLetter(letter, { ...form, numbers: 'bytes' })) {
    yield { topic, key: keyOf(letter), value: bytes(body), headers: encodeHeaders(headers) };
  }
}

export function fromDeadLetterRecord(record: IncomingRecord): DeadLetter | undefined {
  return fromCarriedDeadLetter(decodeHeaders(record.headers), {
    body: record.value,
    ...(record.key === null ? {} : { key: record.key }),
  });
}

/** Says that a dead letter of the same topic is done with: a log forgets nothing. It has the key of it, and so its partition. */
export function toSettledRecord(letter: DeadLetter, topic: string): OutgoingRecord {
  return { topic, key: keyOf(letter), value: null, headers: { [SETTLED]: letter.id } };
}

/** The id of the dead letter that is done with; `undefined` for any other record. */
export function settledIn({ headers }: IncomingRecord): string | undefined {
  return textOf(headers?.[SETTLED]);
}

function keyOf({ original: { key } }: DeadLetter): Buffer | null {
  return key === undefined ? null : bytes(key);
}

type Encoded = Buffer | string;

export function encodeHeaders(headers: Headers): Record<string, Encoded | Encoded[]> {
  const encoded = Object.create(null) as Record<string, Encoded | Encoded[]>;
  let binary: Record<string, number[]> | undefined;
  for (const [name, value] of Object.entries(headers)) {
    const values = Array.isArray(value) ? (value as readonly (string | Uint8Array)[]) : [value as string | Uint8Array];
    const indices = values.flatMap((each, index) => (isBytes(each) ? [index] : []));
    // A plain object would lose a header called `__proto__`.
    if (indices.length > 0) (binary ??= Object.create(null) as Record<string, number[]>)[name] = indices;
    const mapped = values.map((each) => (isBytes(each) ? bytes(each) : each));
    encoded[name] = mapped.length === 1 ? (mapped[0] as Encoded) : mapped;
  }
  if (binary !== undefined) encoded[BINARY_HEADERS] = JSON.stringify(binary);
  return encoded;
}

export function decodeHeaders(headers: RecordHeaders | undefined): Headers {
  const decoded = emptyHeaders();
  if (headers === undefined) return decoded;
  const binary = headers[BINARY_HEADERS] === undefined ? undefined : readBinaryNames(headers[BINARY_HEADERS]);
  for (const name of Object.keys(headers)) {
    if (binary !== undefined && name === BINARY_HEADERS) continue;
    const value: unknown = headers[name];
    const isBinary = (index: number): boolean => binary?.get(name)?.has(index) === true;
    if (!Array.isArray(value)) {
      decoded[name] = decodeValue(value, isBinary(0));
      continue;
    }
    // kafkajs asks a plain object whether it has seen the name: for `constructor` it finds a function, and lists it.
    const values = value.filter((each) => each === null || isBytes(each) || typeof each === 'string') as unknown[];
    const list = values.map((each, index) => decodeValue(each, isBinary(index)));
    decoded[name] = list.length === 1 ? (list[0] as HeaderValue) : list;
  }
  return decoded;
}

/** Text unless it was declared as bytes or is no UTF-8. Kafka's null value becomes an empty text. */
function decodeValue(value: unknown, binary: boolean): string | Uint8Array {
  if (!isBytes(value)) return typeof value === 'string' ? value : '';
  if (binary || !isUtf8(value)) return value;
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('utf8');
}

/** `undefined` when a program of someone else's wrote the header for its own ends. */
function readBinaryNames(header: unknown): Map<string, Set<number>> | undefined {
  try {
    const names: unknown = JSON.parse(String(header));
    if (typeof names !== 'object' || names === null) return undefined;
    return new Map(Object.entries(names).map(([name, indices]) => [name, new Set(indices as number[])]));
  } catch {
    return undefined;
  }
}

function bytes(body: Uint8Array): Buffer;
function bytes(body: Uint8Array | null): Buffer | null;
function bytes(body: Uint8Array | null): Buffer | null {
  return body === null || Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength);
}

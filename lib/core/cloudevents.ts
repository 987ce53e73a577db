import { isUtf8 } from 'node:buffer';
import type { Envelope } from './envelope.js';
import { EventsError, messageOf } from './errors.js';
import { emptyHeaders, isBytes, type HeaderValue, type Headers } from './headers.js';
import { idInstead, type OnMissingId } from './missing-id.js';
import { isRfc3339 } from './rfc3339.js';
import { decodeUtf8, jsonSerializer, parseJson, type Serializer } from './serializer.js';

/** CloudEvents 1.0 attribute (lower case) for each field of the envelope. @see https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md */
const ATTRIBUTES = {
  id: 'id',
  source: 'source',
  name: 'type',
  time: 'time',
  subject: 'subject',
  dataschema: 'dataschema',
  key: 'partitionkey',
  correlationId: 'correlationid',
  causationId: 'causationid',
  traceparent: 'traceparent',
  tracestate: 'tracestate',
} as const;
type Field = keyof typeof ATTRIBUTES;
const FIELDS = Object.keys(ATTRIBUTES) as Field[];
/** The attributes that an envelope has. */
export const CLOUD_EVENT_ATTRIBUTES: readonly string[] = ['specversion', ...Object.values(ATTRIBUTES)];

const STRUCTURED_CONTENT_TYPE = 'application/cloudevents+json; charset=utf-8';
const STRUCTURED_TYPE = /^application\/cloudevents\+json\b/i;

/** An envelope in binary mode: attributes beside the body. */
export interface BinaryCloudEvent {
  /** Attribute names without a prefix; the transport adds its own (`ce_` on Kafka, `cloudEvents_` on AMQP). */
  readonly attributes: Readonly<Record<string, string>>;
  readonly contentType: string;
  readonly body: Uint8Array;
}

/** How what was received is read. */
export interface Reading {
  readonly serializer: Serializer;
  /** Default `dead-letter`: an event without an id cannot be decoded. */
  readonly onMissingId?: OnMissingId | undefined;
}

interface Received {
  readonly headers: Headers;
  readonly contentType: string | undefined;
  readonly body: Uint8Array | null;
  /** The broker's own key of the event, which counts when no attribute says another. */
  readonly key?: Uint8Array | undefined;
}

export interface ReceivedCloudEvent extends Received {
  /** All headers as they came. */
  readonly headers: Headers;
  /** The prefixes that mark attributes here, in order of preference. */
  readonly prefixes: readonly string[];
  /** Headers of the transport's own that are no headers of the user's. */
  readonly ownHeaders?: ReadonlySet<string>;
}

export function toCloudEvent(envelope: Envelope, serializer: Serializer): BinaryCloudEvent {
  const { body, contentType } = serializer.serialize(envelope.data, envelope.name);
  const attributes: Record<string, string> = { specversion: '1.0' };
  for (const field of FIELDS) {
    const value = envelope[field];
    if (value !== undefined) attributes[ATTRIBUTES[field]] = value;
  }
  return { attributes, contentType, body };
}

/** All in one JSON body, whatever carries it. Throws EVENTS_DATA_NOT_SERIALIZABLE. */
export function toStructured(envelope: Envelope): { readonly body: Uint8Array; readonly contentType: string } {
  const event: Record<string, unknown> = { specversion: '1.0' };
  for (const field of FIELDS) {
    const value = envelope[field];
    if (value !== undefined) event[ATTRIBUTES[field]] = value;
  }
  const { data } = envelope;
  if (isBytes(data)) Object.assign(event, { datacontenttype: 'application/octet-stream', data_base64: base64Of(data) });
  else Object.assign(event, { datacontenttype: 'application/json', data: data ?? null });
  return { body: jsonSerializer.serialize(event, envelope.name).body, contentType: STRUCTURED_CONTENT_TYPE };
}

/** Reads binary and structured mode. Throws EVENTS_UNDECODABLE, which names what is missing or wrong. */
export function fromCloudEvent(received: ReceivedCloudEvent, reading: Reading): Envelope {
  try {
    return isStructured(received.contentType) ? fromStructured(received, reading) : fromBinary(received, reading);
  } catch (cause) {
    if (cause instanceof EventsError) throw cause;
    throw undecodable(`its data cannot be read: ${messageOf(cause)}`, cause);
  }
}

/** For transports that find each attribute by its name, without taking all headers apart. Throws as {@link fromCloudEvent}. */
export function fromAttributes(
  received: Received & { readonly attribute: (name: string) => string | undefined },
  reading: Reading,
): Envelope {
  const fields = readAttributes(received.attribute, received, reading);
  try {
    const { body, contentType } = received;
    const data = body === null ? null : reading.serializer.deserialize(body, contentType);
    return Object.assign(fields, { data, headers: received.headers });
  } catch (cause) {
    throw undecodable(`its data cannot be read: ${messageOf(cause)}`, cause);
  }
}

export function isStructured(contentType: string | undefined): boolean {
  return contentType !== undefined && STRUCTURED_TYPE.test(contentType);
}

function fromBinary(received: ReceivedCloudEvent, reading: Reading): Envelope {
  const { attributes, headers } = separate(received);
  return fromAttributes({ ...received, attribute: (name) => attributes.get(name), headers }, reading);
}

function fromStructured(received: ReceivedCloudEvent, reading: Reading): Envelope {
  const event = parseJson(decodeUtf8(received.body ?? new Uint8Array()));
  if (typeof event !== 'object' || event === null) throw undecodable('its structured body is not a JSON object');
  const members = new Map(Object.entries(event));
  const attribute = (name: string): string | undefined => {
    const value: unknown = members.get(name);
    return typeof value === 'number' ? String(value) : typeof value === 'string' ? value : undefined;
  };
  const fields = readAttributes(attribute, received, reading);
  const base64: unknown = members.get('data_base64');
  const data: unknown = typeof base64 === 'string' ? bytesOf(base64) : (members.get('data') ?? null);
  return { ...fields, data, headers: separate(received).headers };
}

/** The attributes, and the user's headers, out of all headers. */
function separate(received: ReceivedCloudEvent): { attributes: Map<string, string>; headers: Headers } {
  const byPrefix = new Map(received.prefixes.map((prefix) => [prefix, new Map<string, string>()]));
  const headers = emptyHeaders();
  for (const [name, value] of Object.entries(received.headers)) {
    const prefix = received.prefixes.find((each) => name.startsWith(each));
    if (prefix !== undefined) {
      const text = textOf(value);
      if (text !== undefined) byPrefix.get(prefix)?.set(name.slice(prefix.length).toLowerCase(), text);
    } else if (received.ownHeaders?.has(name) !== true) headers[name] = value;
  }
  // The last entry of a name wins: the preferred prefix comes last.
  const attributes = new Map([...byPrefix.values()].reverse().flatMap((each) => [...each]));
  return { attributes, headers };
}

function readAttributes(
  attribute: (name: string) => string | undefined,
  { key, body }: Received,
  { onMissingId = 'dead-letter' }: Reading,
): Omit<Envelope, 'data' | 'headers'> {
  const version = attribute('specversion');
  if (version !== undefined && version !== '1.0')
    throw undecodable(`its CloudEvents version is "${version}", not "1.0"`);
  const fields: Partial<Record<Field, string>> = {};
  for (const field of FIELDS) {
    const value = attribute(ATTRIBUTES[field]);
    if (value !== undefined && value !== '') fields[field] = value;
  }
  if (fields.key === undefined && key !== undefined) fields.key = keyText(key);
  const { name, source } = fields;
  if (name === undefined || source === undefined) {
    const missing = (['id', 'name', 'source'] as const).filter((field) => fields[field] === undefined);
    throw undecodable(`CloudEvents attributes are missing: ${missing.map((field) => ATTRIBUTES[field]).join(', ')}`);
  }
  const id = fields.id ?? idInstead(onMissingId, { source, name, key: fields.key, body });
  if (id === undefined) throw withoutId(name);
  return Object.assign(fields, { id, name, source, time: timeOf(fields.time) });
}

/** RFC 3339, or the integer milliseconds that some SDKs write on AMQP. An event without a time happened when it arrived. */
function timeOf(time: string | undefined): string {
  if (time === undefined) return new Date().toISOString();
  if (/^\d{1,15}$/.test(time)) return new Date(Number(time)).toISOString();
  if (!isRfc3339(time)) throw undecodable('its time is not an RFC 3339 time');
  return time;
}

/** Any bytes can be a broker's key. */
function keyText(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString(isUtf8(key) ? 'utf8' : 'base64');
}

function base64Of(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

function bytesOf(base64: string): Uint8Array {
  // Buffer.from skips what is not base64 and would hand over other bytes than were sent.
  if (!/^[A-Za-z0-9+/_=\s-]*$/.test(base64)) throw undecodable('its data_base64 is not base64');
  return Buffer.from(base64, 'base64');
}

/** One that is repeated, or no UTF-8, is no attribute. */
function textOf(value: HeaderValue): string | undefined {
  if (typeof value === 'string') return value;
  if (isBytes(value)) return isUtf8(value) ? decodeUtf8(value) : undefined;
  return value.length === 1 ? textOf(value[0] as string | Uint8Array) : undefined;
}

function withoutId(event: string): EventsError {
  return new EventsError('EVENTS_UNDECODABLE', 'the event cannot be decoded: CloudEvents attributes are missing: id', {
    event,
    remedy:
      "It was parked as a dead letter with its bytes as they came; mend its publisher, or say how to handle such events: typeormIdempotency({ onMissingId: 'hash' | 'handle' }).",
  });
}

function undecodable(problem: string, cause?: unknown): EventsError {
  return new EventsError('EVENTS_UNDECODABLE', `the event cannot be decoded: ${problem}`, {
    cause,
    remedy: 'It was parked as a dead letter with its bytes as they came; mend its publisher, or map foreign bodies.',
  });
}

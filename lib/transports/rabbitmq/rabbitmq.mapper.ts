import { isUtf8 } from 'node:buffer';
import type { ConsumeMessage, Message, Options } from 'amqplib';
import {
  CLOUD_EVENT_ATTRIBUTES,
  fromAttributes,
  fromCloudEvent,
  isStructured,
  toCloudEvent,
  type Reading,
} from '../../core/cloudevents.js';
import type { Delivery, Place, RawEvent } from '../../core/delivery.js';
import type { Envelope } from '../../core/envelope.js';
import { emptyHeaders, isBytes, type HeaderValue, type Headers } from '../../core/headers.js';
import type { Serializer } from '../../core/serializer.js';
import type { Subscription } from '../../core/subscription.js';

/** Written first, then the other spelling of the AMQP binding, then what Python's SDK writes. */
const PREFIXES = ['cloudEvents_', 'cloudEvents:', 'ce-'];
/** Attribute → its headers, in order of preference. */
const ATTRIBUTE_HEADERS: Readonly<Record<string, readonly string[]>> = Object.fromEntries(
  CLOUD_EVENT_ATTRIBUTES.map((name) => [name, PREFIXES.map((prefix) => prefix + name)]),
);
const NO_HEADERS: Headers = Object.freeze(emptyHeaders());
const CONTENT_TYPE = 'content-type';
const KEY_HEADERS = PREFIXES.map((prefix) => `${prefix}partitionkey`);
const PROPERTY_PREFIX = 'x-amqp-';
/** AMQP carries these beside the headers; a raw event keeps them among its headers, under names no user can have. */
const PROPERTIES = {
  contentEncoding: 'x-amqp-content-encoding',
  correlationId: 'x-amqp-correlation-id',
  replyTo: 'x-amqp-reply-to',
  messageId: 'x-amqp-message-id',
  timestamp: 'x-amqp-timestamp',
  type: 'x-amqp-type',
  appId: 'x-amqp-app-id',
  priority: 'x-amqp-priority',
} as const;
type Property = keyof typeof PROPERTIES;
const NUMERIC = new Set<string>(['timestamp', 'priority']);
const MAX_SHORT_STRING = 255;

/** Body and properties of a message, as they are sent: persistent, and returned when no queue takes it. */
export interface EncodedMessage {
  readonly body: Buffer;
  readonly properties: Options.Publish;
}

export function toMessage(envelope: Envelope, serializer: Serializer): EncodedMessage {
  const { attributes, contentType, body } = toCloudEvent(envelope, serializer);
  const headers: Record<string, unknown> = toTable(envelope.headers);
  for (const [name, value] of Object.entries(attributes)) headers[`cloudEvents_${name}`] = value;
  const seconds = Math.floor(Date.parse(envelope.time) / 1_000);
  return {
    body: toBuffer(body),
    properties: {
      headers,
      contentType,
      persistent: true,
      mandatory: true,
      type: envelope.name,
      // AMQP's own timestamp counts seconds from 1970, the exact time is in the headers.
      ...(seconds >= 0 ? { timestamp: seconds } : {}),
      // An id or source too long for these still is in the headers, whole.
      ...(isShort(envelope.id) ? { messageId: envelope.id } : {}),
      ...(isShort(envelope.source) ? { appId: envelope.source } : {}),
    },
  };
}

/** A raw event as a message again: the properties among its headers return to their places. */
export function rawToMessage(body: Uint8Array | null, headers: Headers): EncodedMessage {
  const properties: Record<string, string | number> = {};
  const rest = emptyHeaders();
  for (const [name, value] of Object.entries(headers)) {
    if (name !== CONTENT_TYPE && !isBrokerHeader(name)) rest[name] = value;
  }
  for (const [property, header] of Object.entries(PROPERTIES)) {
    const value = headers[header];
    if (typeof value === 'string') properties[property] = NUMERIC.has(property) ? Number(value) : value;
  }
  const contentType = headers[CONTENT_TYPE];
  return {
    body: toBuffer(body ?? new Uint8Array()),
    properties: {
      ...properties,
      ...(typeof contentType === 'string' ? { contentType } : {}),
      headers: toTable(rest),
      persistent: true,
      mandatory: true,
    },
  };
}

/** Without what the broker tells of the way so far: sent again, it would be taken for the way to come. */
export function withoutBrokerHeaders(headers: Headers): Headers {
  const rest = emptyHeaders();
  for (const [name, value] of Object.entries(headers)) {
    if (!isBrokerHeader(name) || name.startsWith(PROPERTY_PREFIX)) rest[name] = value;
  }
  return rest;
}

/** All headers of a message, and its properties, as text, bytes or lists of these. */
export function toHeaders({ properties }: Pick<Message, 'properties'>): Headers {
  const headers = emptyHeaders();
  for (const [name, value] of Object.entries(properties.headers ?? {})) headers[name] = toHeaderValue(value);
  for (const [property, header] of Object.entries(PROPERTIES)) {
    const value: unknown = properties[property as Property];
    if (value !== undefined) headers[header] = toText(value);
  }
  if (typeof properties.contentType === 'string') headers[CONTENT_TYPE] = properties.contentType;
  return headers;
}

/** Throws EVENTS_UNDECODABLE for a message without CloudEvents attributes, or with a body that cannot be read. */
export function toEnvelope(message: Pick<Message, 'properties' | 'content'>, reading: Reading): Envelope {
  const table: Readonly<Record<string, unknown>> = message.properties.headers ?? {};
  const contentType = contentTypeOf(message.properties);
  const body = message.content;
  if (isStructured(contentType)) {
    return fromCloudEvent({ headers: usersHeaders(table), contentType, body, prefixes: PREFIXES }, reading);
  }
  const attribute = (name: string): string | undefined => attributeOf(table, name);
  return fromAttributes({ attribute, headers: usersHeaders(table), contentType, body }, reading);
}

/** n.b. a raw event has the property among its headers: where there is no property, a header of that name counts as one. */
function contentTypeOf({ contentType, headers }: Message['properties']): string | undefined {
  const type: unknown = contentType ?? (headers && toHeaderValue(headers[CONTENT_TYPE]));
  return typeof type === 'string' && type !== '' ? type : undefined;
}

/** In the spelling of the preferred prefix that has it. */
function attributeOf(table: Readonly<Record<string, unknown>>, name: string): string | undefined {
  for (const header of ATTRIBUTE_HEADERS[name] ?? []) {
    if (!Object.hasOwn(table, header)) continue;
    const value = toHeaderValue(table[header]);
    if (typeof value === 'string') return value;
    if (isBytes(value) && isUtf8(value)) return toBuffer(value).toString('utf8');
  }
  return undefined;
}

/** Most messages have none, and share the same none. */
function usersHeaders(table: Readonly<Record<string, unknown>>): Headers {
  let users: Record<string, HeaderValue> | undefined;
  for (const name of Object.keys(table)) {
    if (name === CONTENT_TYPE || isBrokerHeader(name) || PREFIXES.some((prefix) => name.startsWith(prefix))) continue;
    (users ??= emptyHeaders())[name] = toHeaderValue(table[name]);
  }
  return users ?? NO_HEADERS;
}

export function toPlace(message: ConsumeMessage | Message, transport: string): Place {
  const { exchange, routingKey } = message.fields;
  const id: unknown = message.properties.messageId;
  const address = exchange === '' ? routingKey : `${exchange}/${routingKey}`;
  return { transport, address, ...(typeof id === 'string' ? { position: id } : {}) };
}

/** The key's bytes as they came, decodable or not. */
export function toKey(headers: Headers): { key?: Uint8Array } {
  for (const name of KEY_HEADERS) {
    const value = headers[name];
    if (typeof value === 'string') return { key: Buffer.from(value) };
    if (isBytes(value)) return { key: value };
  }
  return {};
}

export interface DeliveryContext {
  readonly subscription: Subscription;
  readonly transport: string;
  readonly reading: Reading;
  readonly lost: AbortSignal;
  readonly acknowledge: () => void;
  readonly release: () => void;
}

export function toDelivery(message: ConsumeMessage, context: DeliveryContext): Delivery {
  const { subscription, transport, reading, lost, acknowledge, release } = context;
  let raw: RawEvent | undefined;
  return {
    subscription,
    content: toContent(message, reading),
    // Only dead letters need it: most deliveries never pay for it.
    get raw() {
      raw ??= toRaw(message, transport);
      return raw;
    },
    redelivered: message.fields.redelivered,
    lost,
    acknowledge,
    release,
  };
}

function toRaw(message: ConsumeMessage, transport: string): RawEvent {
  const headers = toHeaders(message);
  return { place: toPlace(message, transport), body: message.content, headers, ...toKey(headers) };
}

/** The same as the delivery had. */
export function decodeRaw({ body, headers }: RawEvent, reading: Reading): Delivery['content'] {
  const { body: content, properties } = rawToMessage(body, headers);
  return toContent({ content, properties: properties as Message['properties'] }, reading);
}

function toContent(message: Pick<Message, 'properties' | 'content'>, reading: Reading): Delivery['content'] {
  try {
    return { envelope: toEnvelope(message, reading) };
  } catch (undecodable) {
    return { undecodable };
  }
}

function toTable(headers: Headers): Record<string, unknown> {
  const table = emptyHeaders() as Record<string, unknown>;
  for (const [name, value] of Object.entries(headers)) {
    // n.b. amqplib writes a Buffer as bytes, but any other Uint8Array as a table of its elements
    if (isBytes(value)) table[name] = toBuffer(value);
    else table[name] = typeof value === 'string' ? value : value.map((each) => (isBytes(each) ? toBuffer(each) : each));
  }
  return table;
}

function toHeaderValue(value: unknown): HeaderValue {
  return Array.isArray(value) ? value.map(toScalar) : toScalar(value);
}

const toScalar = (value: unknown): string | Uint8Array => (isBytes(value) ? value : toText(value));

/** AMQP has more types than text and bytes; what other programs write in them is read as text. */
function toText(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (typeof value !== 'object' || value === null) return '';
  const { '!': type, value: seconds } = value as { '!'?: unknown; value?: unknown };
  if (type === 'timestamp' && typeof seconds === 'number' && Math.abs(seconds) <= 8.64e12) {
    return new Date(seconds * 1_000).toISOString();
  }
  return JSON.stringify(value);
}

/** `x-death`, `x-delivery-count` and their like; also `x-amqp-…`, which stand for properties. */
const isBrokerHeader = (name: string): boolean => name.startsWith('x-');

const isShort = (text: string): boolean => Buffer.byteLength(text) <= MAX_SHORT_STRING;

function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

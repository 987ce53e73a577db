import type { Envelope } from '../core/envelope.js';
import { EventsError } from '../core/errors.js';
import { emptyHeaders, isBytes, type HeaderValue } from '../core/headers.js';
import { jsonSerializer } from '../core/serializer.js';

/** Bytes, which JSON has not, as CloudEvents' JSON format writes them. */
interface StoredBytes {
  readonly base64: string;
}
type StoredValue = string | StoredBytes;
type StoredHeader = StoredValue | readonly StoredValue[];

/** An envelope in the outbox. Data is either `data` or, for bytes, `data_base64`. */
interface StoredEnvelope extends Omit<Envelope, 'data' | 'headers'> {
  readonly data?: unknown;
  readonly data_base64?: string;
  /** Pairs, because any text is a header's name, `__proto__` included. */
  readonly headers: readonly (readonly [name: string, value: StoredHeader])[];
}

/** The JSON text of an envelope. Throws EVENTS_DATA_NOT_SERIALIZABLE. */
export function envelopeToJson(envelope: Envelope): string {
  const { data, headers, ...attributes } = envelope;
  const stored: StoredEnvelope = { ...attributes, headers: Object.entries(headers).map(storedHeader) };
  if (isBytes(data)) return JSON.stringify({ ...stored, data_base64: toBase64(data) });
  // The data's own JSON text goes in as it is: what leaves the outbox is what would have been sent.
  const body = Buffer.from(jsonSerializer.serialize(data, envelope.name).body).toString('utf8');
  return `${JSON.stringify(stored).slice(0, -1)},"data":${body}}`;
}

/** The other way round; a bad row throws. JSON.parse makes `__proto__` a property like any other, and nothing is merged here. */
export function envelopeFromJson(text: string): Envelope {
  const { data, data_base64, headers: pairs, ...attributes } = JSON.parse(text) as StoredEnvelope;
  if (typeof attributes.id !== 'string' || typeof attributes.name !== 'string' || !Array.isArray(pairs)) {
    throw new EventsError('EVENTS_UNDECODABLE', 'a row of the outbox holds no envelope', {
      remedy: 'Somebody else has written to the outbox; repair or delete the row.',
    });
  }
  const headers = emptyHeaders();
  for (const [name, value] of pairs as StoredEnvelope['headers']) headers[name] = readHeader(value);
  return { ...attributes, data: data_base64 === undefined ? data : Buffer.from(data_base64, 'base64'), headers };
}

function storedHeader([name, value]: [string, HeaderValue]): [string, StoredHeader] {
  return [name, Array.isArray(value) ? value.map(storedValue) : storedValue(value as string | Uint8Array)];
}

function storedValue(value: string | Uint8Array): StoredValue {
  return typeof value === 'string' ? value : { base64: toBase64(value) };
}

function readHeader(value: StoredHeader): HeaderValue {
  return Array.isArray(value) ? value.map(readValue) : readValue(value as StoredValue);
}

function readValue(value: StoredValue): string | Uint8Array {
  return typeof value === 'string' ? value : Buffer.from(value.base64, 'base64');
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

import { isUtf8 } from 'node:buffer';
import { isBytes, type HeaderValue } from '../core/headers.js';
import type { StoredDeadLetter } from './dead-letter-store.js';

/** Bytes that are no text. */
interface Base64 {
  readonly base64: string;
}

/** A dead letter as a line of NDJSON. Body, key and headers are exact: text as text, other bytes as `{ "base64": "…" }`. */
export function toLine({ original, ...letter }: StoredDeadLetter): string {
  const { place, key, body, headers } = original;
  const exact = Object.entries(headers).map(([name, value]) => [name, exactHeader(value)]);
  const line = {
    ...letter,
    place,
    ...(key === undefined ? {} : { key: exactBytes(key) }),
    headers: Object.fromEntries(exact) as object,
    body: body === null ? null : exactBytes(body),
  };
  return `${JSON.stringify(line)}\n`;
}

function exactHeader(value: HeaderValue): unknown {
  if (typeof value === 'string') return value;
  return isBytes(value) ? asBase64(value) : value.map(exactHeader);
}

function exactBytes(bytes: Uint8Array): string | Base64 {
  return isUtf8(bytes) ? bufferOf(bytes).toString('utf8') : asBase64(bytes);
}

function asBase64(bytes: Uint8Array): Base64 {
  return { base64: bufferOf(bytes).toString('base64') };
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

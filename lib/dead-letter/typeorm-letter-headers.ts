import { emptyHeaders, isBytes, type HeaderValue, type Headers } from '../core/headers.js';

type EncodedValue = string | { readonly base64: string };
type EncodedHeader = readonly [name: string, value: EncodedValue | readonly EncodedValue[]];

/** Headers as JSON that gives back exactly these, in this order: a list, because an object has names it treats otherwise. */
export function headersToJson(headers: Headers): string {
  const encoded = Object.entries(headers).map(([name, value]): EncodedHeader => [name, encode(value)]);
  return JSON.stringify(encoded);
}

export function headersFromJson(json: string): Headers {
  const headers = emptyHeaders();
  for (const [name, value] of JSON.parse(json) as EncodedHeader[]) {
    headers[name] = isList(value) ? value.map(decodeOne) : decodeOne(value);
  }
  return headers;
}

function encode(value: HeaderValue): EncodedValue | readonly EncodedValue[] {
  return typeof value === 'string' || isBytes(value) ? encodeOne(value) : value.map(encodeOne);
}

function encodeOne(value: string | Uint8Array): EncodedValue {
  return typeof value === 'string' ? value : { base64: Buffer.from(value).toString('base64') };
}

function decodeOne(value: EncodedValue): string | Uint8Array {
  return typeof value === 'string' ? value : Buffer.from(value.base64, 'base64');
}

function isList(value: EncodedHeader[1]): value is readonly EncodedValue[] {
  return Array.isArray(value);
}

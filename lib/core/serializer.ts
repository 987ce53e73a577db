import { isUtf8 } from 'node:buffer';
import secureJson from 'secure-json-parse';
import { EventsError, messageOf } from './errors.js';
import { isBytes } from './headers.js';

/** How data becomes bytes and back. The default is {@link jsonSerializer}. */
export interface Serializer {
  /** Throws EVENTS_DATA_NOT_SERIALIZABLE. */
  serialize(data: unknown, event: string): { readonly body: Uint8Array; readonly contentType: string };
  /** Throws anything for bytes it cannot read: the delivery becomes a dead letter with its bytes kept. */
  deserialize(body: Uint8Array, contentType: string | undefined): unknown;
}

const JSON_TYPE = /^application\/(.+\+)?json\b/i;
/** The end of what V8 says: a comma and the text, or the part of it around the mistake. */
const QUOTED = /, (?:\.{3})?".*"(?:\.{3})? is not valid JSON$/s;
const TEXT_TYPE = /^text\//i;

/** JSON for values, `application/octet-stream` for bytes. Refuses data that would pollute prototypes (`__proto__`). */
export const jsonSerializer: Serializer = {
  serialize(data, event) {
    if (isBytes(data)) return { body: data, contentType: 'application/octet-stream' };
    let json: string | undefined;
    try {
      json = JSON.stringify(data ?? null);
      // What every reader would refuse must not be published.
      if (json?.includes('"__proto__"') || json?.includes('"constructor"')) parseJson(json);
    } catch (cause) {
      throw notSerializable(messageOf(cause), event, cause);
    }
    if (json === undefined) throw notSerializable(`a ${typeof data} has no JSON form`, event);
    return { body: Buffer.from(json, 'utf8'), contentType: 'application/json' };
  },

  deserialize(body, contentType) {
    if (contentType === undefined || JSON_TYPE.test(contentType)) return parseJson(decodeUtf8(body));
    return TEXT_TYPE.test(contentType) ? decodeUtf8(body) : body;
  },
};

/** Strict: bytes that are not UTF-8 are an error, not replacement characters. */
export function decodeUtf8(bytes: Uint8Array): string {
  if (!isUtf8(bytes)) throw new TypeError('the bytes are not valid UTF-8');
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

/** Throws a SyntaxError that says what is wrong without quoting the text: data has no business in logs. */
export function parseJson(text: string): unknown {
  try {
    return secureJson.parse(text, undefined, { protoAction: 'error', constructorAction: 'error' }) as unknown;
  } catch (error) {
    throw new SyntaxError(messageOf(error).replace(QUOTED, ': it is not valid JSON'));
  }
}

function notSerializable(problem: string, event: string, cause?: unknown): EventsError {
  return new EventsError('EVENTS_DATA_NOT_SERIALIZABLE', `the data cannot be written as JSON: ${problem}`, {
    event,
    cause,
    remedy: 'Publish plain values (no cycles, functions or BigInt), or bytes.',
  });
}

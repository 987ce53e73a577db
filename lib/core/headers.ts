import { EventsError } from './errors.js';

/** A header is text or bytes; a name that came more than once (Kafka allows it) has a list. */
export type HeaderValue = string | Uint8Array | readonly (string | Uint8Array)[];
export type Headers = Readonly<Record<string, HeaderValue>>;

/** Names that carry the envelope's own attributes or a transport's and dead letter's metadata. */
const RESERVED_HEADER = /^(ce_|ce-|cloudevents[:_]|content-type$|events-|x-)/i;

/** Throws EVENTS_HEADER_INVALID for a name that is reserved or a value that is neither text nor bytes. */
export function assertHeaders(headers: Headers, event: string): void {
  for (const [name, value] of Object.entries(headers)) {
    const problem = headerProblem(name, value);
    if (problem !== undefined) {
      throw new EventsError('EVENTS_HEADER_INVALID', `the header ${JSON.stringify(name)} ${problem}`, {
        event,
        remedy:
          'Headers are strings, bytes or lists of these; names starting with "ce_", "cloudEvents", "events-" or "x-" are taken.',
      });
    }
  }
}

export function isBytes(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array;
}

/** An object that has no prototype to pollute: `__proto__` is a header name like any other. */
export function emptyHeaders(): Record<string, HeaderValue> {
  return Object.create(null) as Record<string, HeaderValue>;
}

function headerProblem(name: string, value: unknown): string | undefined {
  if (name === '' || Buffer.byteLength(name) > 255) return 'has a name that is empty or longer than 255 bytes';
  if (RESERVED_HEADER.test(name)) return 'has a reserved name';
  // n.b. clients decode headers into plain objects, and lose this one without a word
  if (name === '__proto__') return 'has a name that not every broker client carries';
  const values: unknown[] = Array.isArray(value) ? value : [value];
  if (!values.every((each) => typeof each === 'string' || isBytes(each))) return 'is neither text nor bytes';
  const wellFormed = [name, ...values].every((each) => typeof each !== 'string' || each.isWellFormed());
  return wellFormed ? undefined : 'is not well-formed Unicode';
}

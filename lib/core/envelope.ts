import { uuidv7 } from 'uuidv7';
import { EventsError } from './errors.js';
import { assertEventName } from './event-name.js';
import { assertHeaders, emptyHeaders, type Headers } from './headers.js';
import { isRfc3339 } from './rfc3339.js';

/**
 * An event on its way: what happened (name, data) and how to tell it from others.
 * The attributes are those of CloudEvents 1.0; `name` is its `type`, `key` its extension `partitionkey`.
 */
export interface Envelope<T = unknown> {
  /** Unique within its source, the same on every redelivery. UUID v7 unless the publisher gave one. */
  readonly id: string;
  readonly name: string;
  /** The service that published it. */
  readonly source: string;
  /** When it happened, RFC 3339. */
  readonly time: string;
  readonly data: T;
  /** Events of one key are handled in order. */
  readonly key?: string;
  readonly subject?: string;
  readonly dataschema?: string;
  /** The id that all events of one story share: that of the first, unless given. */
  readonly correlationId?: string;
  /** The id of the event whose handling published this one. */
  readonly causationId?: string;
  /** W3C Trace Context. */
  readonly traceparent?: string;
  readonly tracestate?: string;
  readonly headers: Headers;
}

export type EnvelopeInit<T> = Partial<Omit<Envelope<T>, 'name' | 'data' | 'source'>> &
  Pick<Envelope<T>, 'name' | 'data' | 'source'>;

const OPTIONAL_TEXTS = [
  'key',
  'subject',
  'dataschema',
  'correlationId',
  'causationId',
  'traceparent',
  'tracestate',
] as const;

/** Completes and checks an envelope that is about to be published. Throws EVENTS_NAME_INVALID, EVENTS_ENVELOPE_INVALID, EVENTS_HEADER_INVALID. */
export function createEnvelope<T>(init: EnvelopeInit<T>): Envelope<T> {
  assertEventName(init.name);
  const headers = Object.assign(emptyHeaders(), init.headers);
  assertHeaders(headers, init.name);
  const texts: Partial<Record<(typeof OPTIONAL_TEXTS)[number], string>> = {};
  for (const attribute of OPTIONAL_TEXTS) {
    const value = init[attribute];
    // CloudEvents has no empty attributes: readers take them for absent.
    if (value === undefined || value === '') continue;
    texts[attribute] = text(value, attribute, init.name);
  }
  return {
    id: init.id === undefined ? uuidv7() : nonEmpty(init.id, 'id', init.name),
    name: init.name,
    source: nonEmpty(init.source, 'source', init.name),
    time: init.time === undefined ? new Date().toISOString() : timestamp(init.time, init.name),
    data: init.data,
    ...texts,
    headers,
  };
}

function nonEmpty(value: unknown, attribute: string, event: string): string {
  const checked = text(value, attribute, event);
  return checked === '' ? invalid(attribute, 'is empty', event) : checked;
}

function text(value: unknown, attribute: string, event: string): string {
  if (typeof value !== 'string') return invalid(attribute, 'is not a string', event);
  // A lone surrogate has no UTF-8 form: it would arrive as another string than was sent.
  return value.isWellFormed() ? value : invalid(attribute, 'is not well-formed Unicode', event);
}

function timestamp(value: unknown, event: string): string {
  const checked = text(value, 'time', event);
  return isRfc3339(checked) ? checked : invalid('time', 'is not an RFC 3339 time', event);
}

function invalid(attribute: string, problem: string, event: string): never {
  throw new EventsError('EVENTS_ENVELOPE_INVALID', `the attribute "${attribute}" ${problem}`, {
    event,
    remedy: `Give publish() a valid "${attribute}", or none to get the default.`,
  });
}

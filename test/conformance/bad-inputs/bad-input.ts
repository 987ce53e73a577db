import type { Envelope } from '../../../lib/core/envelope.js';
import type { EventsErrorCode } from '../../../lib/core/errors.js';
import type { Headers, HeaderValue } from '../../../lib/core/headers.js';

/** What becomes of an input. */
export type Expected =
  | {
      readonly becomes: 'handled';
      /** What the handler gets; a function looks at data that a matcher would not get to the end of. */
      readonly data: unknown;
      readonly envelope?: Partial<Envelope>;
      /** Among those of the envelope. */
      readonly headers?: Headers;
    }
  | { readonly becomes: 'dead letter'; readonly code: EventsErrorCode | 'Error'; readonly says?: RegExp }
  /** No handler of the group takes it: counted, named in the log once, settled. */
  | { readonly becomes: 'unhandled' }
  /** The broker, its protocol or its client cannot carry it. */
  | { readonly becomes: 'not sent' };

export type TransportKind = 'memory' | 'kafka' | 'rabbitmq';

/** A row of the table: what differs from a good event (`{ "n": 1 }` as JSON), and what becomes of it. */
export interface BadInput {
  readonly name: string;
  readonly body?: string | Buffer | null;
  /** `null`: none. Default `application/json`. */
  readonly contentType?: string | null;
  /** CloudEvents attributes; `null` takes one away. */
  readonly attributes?: Readonly<Record<string, HeaderValue | null>>;
  readonly headers?: Readonly<Record<string, HeaderValue>>;
  /** The broker's own key. Default: that of the attributes. */
  readonly brokerKey?: Buffer;
  /** The handler refuses it. */
  readonly refused?: boolean;
  readonly expected: Expected;
  /** Where a transport differs, and why. */
  readonly differs?: { readonly [Kind in TransportKind]?: Expected } & { readonly why: string };
}

export const GOOD_DATA = { n: 1 };

export const handled = (data: unknown = GOOD_DATA, envelope?: Partial<Envelope>): Expected =>
  envelope === undefined ? { becomes: 'handled', data } : { becomes: 'handled', data, envelope };

export const undecodable = (says?: RegExp): Expected =>
  says === undefined
    ? { becomes: 'dead letter', code: 'EVENTS_UNDECODABLE' }
    : { becomes: 'dead letter', code: 'EVENTS_UNDECODABLE', says };

export const unhandled: Expected = { becomes: 'unhandled' };
export const notSent: Expected = { becomes: 'not sent' };

export const LEVELS = 10_000;

/** How deep arrays and objects lie in each other, without recursion. */
export function depthOf(data: unknown): number {
  let depth = 0;
  for (let level = data; typeof level === 'object' && level !== null; level = Object.values(level)[0]) depth++;
  return depth;
}

/** A line as an attacker would have it in the log. */
export const FORGED = '\r\n\u001b[2K\u001b[31m[Nest] 1 - ERROR admin logged in\u0007\u0085\u2028\u202e';
/** What no log line may contain. */
export const SECRET = 's3cr3t-pa55';

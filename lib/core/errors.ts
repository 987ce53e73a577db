/** Every code a user can meet. They are stable: alert on them, never on messages. docs/errors.md lists cause and remedy of each. */
export type EventsErrorCode =
  | 'EVENTS_OPTIONS_INVALID'
  | 'EVENTS_NAME_INVALID'
  | 'EVENTS_PATTERN_INVALID'
  | 'EVENTS_ENVELOPE_INVALID'
  | 'EVENTS_HEADER_INVALID'
  | 'EVENTS_DATA_NOT_SERIALIZABLE'
  | 'EVENTS_UNDECODABLE'
  | 'EVENTS_PAYLOAD_TOO_LARGE'
  | 'EVENTS_HANDLER_DUPLICATE'
  | 'EVENTS_HANDLER_INVALID'
  | 'EVENTS_HANDLER_NOT_FOUND'
  | 'EVENTS_FILTER_FAILED'
  | 'EVENTS_NEXT_CALLED_TWICE'
  | 'EVENTS_TRANSPORT_UNKNOWN'
  | 'EVENTS_TRANSPORT_UNREACHABLE'
  | 'EVENTS_TRANSPORT_UNAUTHORIZED'
  | 'EVENTS_TRANSPORT_CLOSED'
  | 'EVENTS_TRANSPORT_UNSUPPORTED'
  | 'EVENTS_TOPOLOGY_CONFLICT'
  | 'EVENTS_TOPIC_MISSING'
  | 'EVENTS_PUBLISH_FAILED'
  | 'EVENTS_PUBLISH_TIMEOUT'
  | 'EVENTS_PUBLISH_PARTIAL'
  | 'EVENTS_TRANSACTION_REQUIRED'
  | 'EVENTS_TRANSACTION_ENDED'
  | 'EVENTS_TRANSACTION_ABORTED'
  | 'EVENTS_TRANSACTION_BUSY'
  | 'EVENTS_OUTBOX_MISSING'
  | 'EVENTS_DELAY_INVALID'
  | 'EVENTS_DELAY_UNSUPPORTED'
  | 'EVENTS_DATASOURCE_MISSING'
  | 'EVENTS_SCHEMA_BEHIND'
  | 'EVENTS_PRIVILEGE_MISSING'
  | 'EVENTS_MEMORY_IN_PRODUCTION'
  | 'EVENTS_DUPLICATE_BUSY'
  | 'EVENTS_IDEMPOTENCY_KEY_INVALID'
  | 'EVENTS_PACKAGE_MISSING'
  | 'EVENTS_KEY_PARKED'
  | 'EVENTS_PROCESS_ENDED'
  | 'EVENTS_EVENT_LOOP_BLOCKED'
  | 'EVENTS_DEAD_LETTER_NOT_FOUND'
  | 'EVENTS_DEAD_LETTER_STATE'
  | 'EVENTS_DEAD_LETTER_INVALID'
  | 'EVENTS_DEAD_LETTER_STORE_MISSING'
  | 'EVENTS_REDRIVE_NOT_FOUND';

export interface EventsErrorDetails {
  /** The event's name, when one is concerned. */
  readonly event?: string | undefined;
  /** The handler's id, when one is concerned. */
  readonly handler?: string | undefined;
  /** What the reader can do about it; one or two sentences. */
  readonly remedy: string;
  readonly cause?: unknown;
}

/** The error of this library: a stable code, the event and handler concerned, the cause, and what to do. */
export class EventsError extends Error {
  override readonly name: string = 'EventsError';
  readonly event?: string | undefined;
  readonly handler?: string | undefined;
  readonly remedy: string;

  constructor(
    readonly code: EventsErrorCode,
    /** What is wrong, without what it concerns and what to do: those are properties of their own. */
    readonly problem: string,
    details: EventsErrorDetails,
  ) {
    super(describe(problem, details), details.cause === undefined ? undefined : { cause: details.cause });
    this.event = details.event;
    this.handler = details.handler;
    this.remedy = details.remedy;
  }

  /** The same error, once it is known which event or handler it concerns. */
  concerning(what: Pick<EventsErrorDetails, 'event' | 'handler'>): EventsError {
    const { code, problem, event, handler, remedy, cause } = this;
    return new EventsError(code, problem, { event, handler, remedy, cause, ...what });
  }
}

export function isEventsError(error: unknown, code?: EventsErrorCode): error is EventsError {
  return error instanceof EventsError && (code === undefined || error.code === code);
}

/** The message of anything that was thrown, also of what is not an Error. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') {
    return error.errors.map(messageOf).join('; ');
  }
  if (error instanceof Error) return error.message;
  if (typeof error === 'string') return error;
  try {
    return JSON.stringify(error) ?? String(error);
  } catch {
    return Object.prototype.toString.call(error);
  }
}

/** The code of an error: its `code` (Node, pg, this library), else its class. */
export function codeOf(error: unknown): string {
  if (typeof error === 'object' && error !== null) {
    const code = (error as { code?: unknown }).code;
    if (typeof code === 'string' && code !== '') return code;
    if (error instanceof Error) return error.name;
  }
  return typeof error;
}

/**
 * A secret has no business in a message: `amqp://user:secret@host` becomes `amqp://user:***@host`. Up to the last `@`,
 * because an "Invalid URL" error quotes just the secrets whose `@` and `/` were not escaped.
 */
export function withoutCredentials(text: string): string {
  return text.replace(/([a-z][a-z0-9+.-]{0,31}:\/\/[^\s:/]*):(?:(?!:\/\/)\S)*@/gi, '$1:***@');
}

function describe(problem: string, details: EventsErrorDetails): string {
  const concerned = [
    details.event === undefined ? '' : `event "${details.event}"`,
    details.handler === undefined ? '' : `handler "${details.handler}"`,
  ].filter(Boolean);
  const where = concerned.length > 0 ? ` (${concerned.join(', ')})` : '';
  return `${problem}${where}. ${details.remedy}`;
}

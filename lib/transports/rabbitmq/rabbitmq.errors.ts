import { EventsError, messageOf, withoutCredentials } from '../../core/errors.js';

/** Reply codes of AMQP 0-9-1. @see https://www.rabbitmq.com/amqp-0-9-1-reference */
const REPLY = { accessRefused: 403, notFound: 404, resourceLocked: 405, preconditionFailed: 406 } as const;

/** The code the broker closed a channel or connection with. */
function replyCode(error: unknown): number | undefined {
  const code: unknown = error instanceof Error ? (error as { code?: unknown }).code : undefined;
  return typeof code === 'number' ? code : undefined;
}

export const isNotFound = (error: unknown): boolean => replyCode(error) === REPLY.notFound;

/** amqplib's word for using a channel or connection that has been closed. */
export function isAlreadyClosed(error: unknown): boolean {
  return error instanceof Error && error.name === 'IllegalOperationError';
}

/** What the broker said, without what amqplib puts around it. */
export function brokerText(error: unknown): string {
  const text = messageOf(error);
  return withoutCredentials(/with message "([\s\S]*)"/.exec(text)?.[1] ?? text);
}

/** Why no connection came about, in the words of this library. */
export function connectError(error: unknown, address: string, connectTimeoutMs: number): EventsError {
  if (isLoginRefused(error) || isVirtualHostRefused(error)) {
    const problem = isLoginRefused(error)
      ? `refuses the login: ${brokerText(error)}`
      : 'accepts the login, but not the virtual host: it is missing, forbidden to this user, or at its connection limit';
    return new EventsError('EVENTS_TRANSPORT_UNAUTHORIZED', `RabbitMQ at ${address} ${problem}`, {
      remedy: 'Check user, password, virtual host and the permissions of the user on it.',
      cause: error,
    });
  }
  return new EventsError(
    'EVENTS_TRANSPORT_UNREACHABLE',
    `RabbitMQ at ${address} could not be reached within ${connectTimeoutMs} ms: ${brokerText(error)}`,
    { remedy: 'Check that it runs, that host and port are right, and that no firewall is between.', cause: error },
  );
}

/** Whether trying again with the same password is pointless. n.b. during the handshake amqplib's errors have no code */
export function isLoginRefused(error: unknown): boolean {
  return messageOf(error).includes('ACCESS-REFUSED');
}

/** n.b. amqplib keeps the broker's reason to itself here. A virtual host that still starts looks the same: it is tried again. */
function isVirtualHostRefused(error: unknown): boolean {
  return /Expected ConnectionOpenOk; got <ConnectionClose/.test(messageOf(error));
}

/** A refusal that will be the same next time, while declaring or using `subject`; `undefined` for what may pass. */
export function refusal(error: unknown, subject: string): EventsError | undefined {
  switch (replyCode(error)) {
    case REPLY.accessRefused:
      return new EventsError('EVENTS_TRANSPORT_UNAUTHORIZED', `RabbitMQ refuses ${subject}: ${brokerText(error)}`, {
        remedy: 'Grant the user the permissions configure, write and read on the names of this service.',
        cause: error,
      });
    case REPLY.preconditionFailed:
    case REPLY.resourceLocked:
      return new EventsError(
        'EVENTS_TOPOLOGY_CONFLICT',
        `${subject} exists with other properties: ${brokerText(error)}`,
        {
          remedy:
            'What exists cannot be changed: set the option back to what it has, or delete it once it is empty and let it be declared anew.',
          cause: error,
        },
      );
    default:
      return undefined;
  }
}

/** Why a message that was on the channel when it was closed must not be sent again: it would close the next one too. */
export function publishRefusal(
  error: unknown,
  { body, exchange, event }: { body: Uint8Array; exchange: string; event?: string | undefined },
): EventsError | undefined {
  const limit = /larger than (?:configured )?max size:? '?(\d+)/.exec(messageOf(error))?.[1];
  if (limit !== undefined) return body.length > Number(limit) ? brokerTooLarge(body.length, limit, event) : undefined;
  return brokerText(error).includes(`'${exchange}'`) ? refusal(error, `publishing to "${exchange}"`) : undefined;
}

function brokerTooLarge(bytes: number, limit: string, event: string | undefined): EventsError {
  return new EventsError('EVENTS_PAYLOAD_TOO_LARGE', `the body has ${bytes} bytes, and RabbitMQ takes ${limit}`, {
    event,
    remedy: 'Store what is large elsewhere and publish a reference, or raise max_message_size of the broker.',
  });
}

/** n.b. amqplib encodes all headers into 64 KiB, and throws before anything is sent. */
export function notEncodable(error: unknown, event: string | undefined): EventsError {
  if (error instanceof RangeError) {
    return new EventsError('EVENTS_PAYLOAD_TOO_LARGE', 'the headers do not fit into 64 KiB', {
      event,
      remedy: 'Move what is large from the headers into the data.',
      cause: error,
    });
  }
  return new EventsError('EVENTS_PUBLISH_FAILED', `the message cannot be encoded: ${brokerText(error)}`, {
    event,
    remedy: 'Check its headers: names of at most 255 bytes, values that are text or bytes.',
    cause: error,
  });
}

export interface Waited {
  readonly event: string | undefined;
  readonly transport: string;
  readonly publishTimeoutMs: number;
  readonly cause: unknown;
}

export function publishTimeout(state: string, { event, transport, publishTimeoutMs, cause }: Waited): EventsError {
  const problem = `"${transport}" did not confirm within ${publishTimeoutMs} ms: ${state}`;
  const remedy = 'It may have been stored or not: publish it again with the same id, or use the outbox.';
  return new EventsError('EVENTS_PUBLISH_TIMEOUT', problem, { event, remedy, cause });
}

export function publishRefused(times: number, { event, transport, publishTimeoutMs, cause }: Waited): EventsError {
  const problem = `"${transport}" refused (nack) ${times} times within ${publishTimeoutMs} ms to keep the event`;
  const remedy = 'Look at the queues it goes to: one is full (max-length), or has lost the majority of its members.';
  return new EventsError('EVENTS_PUBLISH_FAILED', problem, { event, remedy, cause });
}

export function transportClosed(transport: string): EventsError {
  return new EventsError('EVENTS_TRANSPORT_CLOSED', `the transport "${transport}" is closed`, {
    remedy: 'Publish before the application has shut down.',
  });
}

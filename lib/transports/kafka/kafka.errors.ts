import { EventsError, messageOf, withoutCredentials } from '../../core/errors.js';

/** What a failure of the client means for what was asked of it. */
export type KafkaFailure = 'unauthorized' | 'too-large' | 'topic-missing' | 'refused' | 'indefinite';

/** Kafka's protocol errors that say: never, not like this. @see https://kafka.apache.org/protocol#protocol_error_codes */
const REFUSALS = new Set([
  'TOPIC_AUTHORIZATION_FAILED',
  'GROUP_AUTHORIZATION_FAILED',
  'CLUSTER_AUTHORIZATION_FAILED',
  'INVALID_TOPIC_EXCEPTION',
  'INVALID_RECORD',
  'INVALID_TIMESTAMP',
  'UNSUPPORTED_FOR_MESSAGE_FORMAT',
  'POLICY_VIOLATION',
  'INVALID_REQUIRED_ACKS',
]);
const TOO_LARGE = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE', 'INVALID_RECORD_BATCH_SIZE']);

export function failureOf(error: unknown): KafkaFailure {
  for (let at: unknown = error, depth = 0; isObject(at) && depth < 8; at = at['cause'], depth++) {
    if (at['name'] === 'KafkaJSSASLAuthenticationError' || at['type'] === 'SASL_AUTHENTICATION_FAILED')
      return 'unauthorized';
    const type = typeof at['type'] === 'string' ? at['type'] : '';
    if (TOO_LARGE.has(type)) return 'too-large';
    if (type === 'UNKNOWN_TOPIC_OR_PARTITION') return 'topic-missing';
    if (REFUSALS.has(type)) return 'refused';
  }
  return 'indefinite';
}

export function unreachable(name: string, brokers: readonly string[], cause: unknown): EventsError {
  const where = withoutCredentials(brokers.join(', '));
  return new EventsError(
    'EVENTS_TRANSPORT_UNREACHABLE',
    `the transport "${name}" cannot reach Kafka at ${where}: ${messageOf(cause)}`,
    {
      cause,
      remedy: 'Check `brokers`, `ssl` and the network, and that the brokers advertise addresses reachable here.',
    },
  );
}

export function unauthorized(name: string, brokers: readonly string[], cause: unknown): EventsError {
  const where = withoutCredentials(brokers.join(', '));
  return new EventsError(
    'EVENTS_TRANSPORT_UNAUTHORIZED',
    `the transport "${name}" was refused by Kafka at ${where}: ${messageOf(cause)}`,
    { cause, remedy: 'Check `sasl` (mechanism, username, password) and the ACLs of that user.' },
  );
}

export function tooLarge(event: string, cause: unknown): EventsError {
  return new EventsError('EVENTS_PAYLOAD_TOO_LARGE', 'Kafka refused the record as too large for its topic', {
    event,
    cause,
    remedy: "Publish a reference to where the data is kept, or raise the topic's max.message.bytes.",
  });
}

export function refused(event: string, cause: unknown): EventsError {
  return new EventsError('EVENTS_PUBLISH_FAILED', `Kafka refused the event: ${messageOf(cause)}`, {
    event,
    cause,
    remedy: "Check the topic's name, its configuration and the ACLs of the user.",
  });
}

export function publishTimedOut(event: string, timeoutMs: number, cause: unknown): EventsError {
  const why = cause === undefined ? '' : `; the last failure was: ${messageOf(cause)}`;
  return new EventsError('EVENTS_PUBLISH_TIMEOUT', `Kafka did not confirm the event within ${timeoutMs} ms${why}`, {
    event,
    cause,
    remedy: 'It may have been written all the same: publish it again with the same id, or use an outbox.',
  });
}

export function closed(name: string, event?: string): EventsError {
  return new EventsError('EVENTS_TRANSPORT_CLOSED', `the transport "${name}" is closed`, {
    event,
    remedy: 'Connect it first, and publish before onApplicationShutdown.',
  });
}

export function topicsMissing(topics: readonly string[], event?: string): EventsError {
  return new EventsError(
    'EVENTS_TOPIC_MISSING',
    `Kafka has no topic ${topics.map((topic) => JSON.stringify(topic)).join(', ')} and \`autoCreate\` is false`,
    { event, remedy: 'Create it, or let kafka({ autoCreate: true }) do so.' },
  );
}

export function packageMissing(name: string, why: string, cause: unknown): EventsError {
  return new EventsError('EVENTS_PACKAGE_MISSING', `the package "${name}" is missing: ${why}`, {
    cause,
    remedy: `npm install ${name}`,
  });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

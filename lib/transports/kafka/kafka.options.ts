import type { ConnectionOptions } from 'node:tls';
import { EventsError, isEventsError } from '../../core/errors.js';
import { assertEventPattern } from '../../core/event-name.js';
import { isTopicName, type KafkaTopicChoice } from './kafka.topics.js';

/** Credentials for SASL. */
export type KafkaSasl =
  | {
      readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
      readonly username: string;
      readonly password: string;
    }
  | { readonly mechanism: 'oauthbearer'; readonly oauthBearerProvider: () => Promise<{ readonly value: string }> };

export type KafkaCompression = 'lz4' | 'gzip' | 'none';

export interface KafkaOptions {
  /** Tells two transports of a kind apart. Default `kafka`. */
  readonly name?: string;
  /** `host:port` of some brokers of the cluster; the others are found. */
  readonly brokers: readonly string[];
  /** How connections introduce themselves. Default: the service's name. */
  readonly clientId?: string;
  readonly ssl?: boolean | ConnectionOptions;
  readonly sasl?: KafkaSasl;
  /** Default: `<domain>.<entity>`, the first two words of the event's name. */
  readonly topic?: KafkaTopicChoice;
  /** Partitions of the topics it creates. Default 3. */
  readonly partitions?: number;
  /** Replicas of the topics it creates. Default -1: the broker's default. */
  readonly replication?: number;
  /** Configuration of the topics it creates, as Kafka names it (`retention.ms`). */
  readonly topicConfig?: Readonly<Record<string, string>>;
  /** Create missing topics. Default true; `false` fails and names them. */
  readonly autoCreate?: boolean;
  /** Of what it publishes; `lz4` needs the package lz4-napi. Default `lz4`. */
  readonly compression?: KafkaCompression;
  /** A member that is not heard of for so long loses its partitions. Default 30,000. */
  readonly sessionTimeoutMs?: number;
  /** Default 10,000; also how late a member may hear of a rebalance. */
  readonly heartbeatIntervalMs?: number;
  /** How often what is settled is committed. Default 100. */
  readonly commitIntervalMs?: number;
  /** How often patterns with wildcards look for new topics. A find costs the group a rebalance. Default 10,000. */
  readonly discoveryIntervalMs?: number;
  /** How long connecting waits for brokers that are away. Default 30,000. */
  readonly connectTimeoutMs?: number;
  /** Where a group without a position starts in the topics it finds: at the first record, or at the end. Default true. */
  readonly fromBeginning?: boolean;
}

export type ResolvedKafkaOptions = Required<Omit<KafkaOptions, 'clientId' | 'ssl' | 'sasl' | 'topic'>> &
  Pick<KafkaOptions, 'clientId' | 'ssl' | 'sasl' | 'topic'>;

const DEFAULTS = {
  name: 'kafka',
  partitions: 3,
  replication: -1,
  topicConfig: {},
  autoCreate: true,
  compression: 'lz4',
  sessionTimeoutMs: 30_000,
  heartbeatIntervalMs: 10_000,
  commitIntervalMs: 100,
  discoveryIntervalMs: 10_000,
  connectTimeoutMs: 30_000,
  fromBeginning: true,
} as const;

/** Defaults filled in. Throws EVENTS_OPTIONS_INVALID, which names every mistake. */
export function resolveOptions(options: KafkaOptions): ResolvedKafkaOptions {
  const given = Object.fromEntries(Object.entries(options ?? {}).filter(([, value]) => value !== undefined));
  const resolved = { ...DEFAULTS, ...given } as ResolvedKafkaOptions;
  const problems = [...problemsOf(resolved)];
  if (problems.length === 0) return resolved;
  throw new EventsError('EVENTS_OPTIONS_INVALID', `the options of kafka() are wrong: ${problems.join('; ')}`, {
    remedy: 'Correct the options named, for example kafka({ brokers: ["localhost:9092"] }).',
  });
}

const KNOWN = new Set([...Object.keys(DEFAULTS), 'brokers', 'clientId', 'ssl', 'sasl', 'topic']);
const COUNTS = [
  'partitions',
  'sessionTimeoutMs',
  'heartbeatIntervalMs',
  'commitIntervalMs',
  'discoveryIntervalMs',
  'connectTimeoutMs',
] as const;

function* problemsOf(options: ResolvedKafkaOptions): Iterable<string> {
  for (const option of Object.keys(options)) if (!KNOWN.has(option)) yield `${option} is not an option`;
  if (typeof options.name !== 'string' || options.name === '') yield 'name must be a text';
  const { brokers } = options;
  if (!Array.isArray(brokers) || brokers.length === 0) yield 'brokers must list at least one "host:port"';
  else yield* brokers.flatMap((broker: unknown, index) => brokerProblem(broker, `brokers[${index}]`));
  for (const option of COUNTS) {
    if (!Number.isInteger(options[option]) || options[option] < 1) yield `${option} must be a whole number above 0`;
  }
  const { replication, sessionTimeoutMs, heartbeatIntervalMs, compression } = options;
  if (!Number.isInteger(replication) || (replication < 1 && replication !== -1))
    yield 'replication must be a whole number above 0, or -1 for the default of the broker';
  if (heartbeatIntervalMs * 2 > sessionTimeoutMs)
    yield 'heartbeatIntervalMs must be at most half of sessionTimeoutMs, best a third';
  if (!['lz4', 'gzip', 'none'].includes(compression)) yield 'compression must be "lz4", "gzip" or "none"';
  for (const option of ['autoCreate', 'fromBeginning'] as const)
    if (typeof options[option] !== 'boolean') yield `${option} must be true or false`;
  yield* topicConfigProblems(options.topicConfig);
  yield* saslProblems(options.sasl);
  yield* topicProblems(options.topic);
}

function brokerProblem(broker: unknown, path: string): string[] {
  const valid: boolean = typeof broker === 'string' && /^(\[[0-9a-f:.]+\]|[^\s:/@]+):\d{1,5}$/i.test(broker);
  return valid ? [] : [`${path} must be "host:port" (no protocol, no credentials: those belong in sasl)`];
}

function* topicConfigProblems(config: unknown): Iterable<string> {
  if (typeof config !== 'object' || config === null) {
    yield 'topicConfig must be an object';
    return;
  }
  for (const [name, value] of Object.entries(config))
    if (typeof value !== 'string') yield `topicConfig["${name}"] must be a text, as Kafka takes it`;
}

function* saslProblems(sasl: KafkaSasl | undefined): Iterable<string> {
  if (sasl === undefined) return;
  switch (sasl?.mechanism) {
    case 'plain':
    case 'scram-sha-256':
    case 'scram-sha-512':
      if (typeof sasl.username !== 'string' || sasl.username === '') yield 'sasl.username must be a text';
      if (typeof sasl.password !== 'string') yield 'sasl.password must be a text';
      return;
    case 'oauthbearer':
      if (typeof sasl.oauthBearerProvider !== 'function') yield 'sasl.oauthBearerProvider must be a function';
      return;
    default:
      yield 'sasl.mechanism must be "plain", "scram-sha-256", "scram-sha-512" or "oauthbearer"';
  }
}

function* topicProblems(topic: unknown): Iterable<string> {
  if (topic === undefined || typeof topic === 'function') return;
  if (typeof topic === 'string') {
    if (!isTopicName(topic)) yield `topic ${JSON.stringify(topic)} is no name for a topic of events`;
    return;
  }
  if (typeof topic !== 'object' || topic === null) {
    yield 'topic must be a text, a function or a map';
    return;
  }
  for (const [pattern, name] of Object.entries(topic)) {
    try {
      assertEventPattern(pattern);
    } catch (error) {
      yield `topic: ${isEventsError(error) ? error.message : pattern}`;
    }
    if (!isTopicName(name)) yield `topic["${pattern}"] is no name for a topic of events`;
  }
}

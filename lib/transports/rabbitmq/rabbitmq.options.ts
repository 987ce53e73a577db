import type { ConnectionOptions as TlsConnectionOptions } from 'node:tls';
import { EventsError, withoutCredentials } from '../../core/errors.js';
import type { Subscription } from '../../core/subscription.js';

/** What Node's `tls.connect` is given for `amqps:` urls. */
export type RabbitmqTlsOptions = Pick<
  TlsConnectionOptions,
  'ca' | 'cert' | 'key' | 'passphrase' | 'pfx' | 'servername' | 'rejectUnauthorized' | 'minVersion'
>;

export interface RabbitmqQueueOptions {
  /** How many deliveries of a queue may be unacknowledged, 1 to 65,535. Default `max(100, 10 × concurrency)`, for batch handlers `concurrency × size` if that is more. */
  readonly prefetch?: number | undefined;
  /** How long an event may wait in a queue before the broker makes it a dead letter. Default 7 days. Fixed once the queue exists. */
  readonly queueTtlMs?: number | undefined;
  /** After how many returns the broker makes an event a dead letter. Default 20. Fixed once the queue exists. */
  readonly deliveryLimit?: number | undefined;
  /** Only one instance of the group consumes a queue at a time: order per key across instances. Default `false`. Fixed once the queue exists. */
  readonly singleActiveConsumer?: boolean | undefined;
}

/** A handler's own `{ rabbitmq: {…} }`: what differs from the transport's options. */
export type RabbitmqHandlerOptions = RabbitmqQueueOptions;

export interface RabbitmqOptions extends RabbitmqQueueOptions {
  /** Tells two RabbitMQ transports apart. Default `rabbitmq`. */
  readonly name?: string | undefined;
  /** `amqp://user:password@host:port/vhost`, or `amqps:`. */
  readonly url?: string | undefined;
  /** Nodes of one cluster instead of `url`, tried in turn. */
  readonly urls?: readonly string[] | undefined;
  /** The durable topic exchange that events are published to. Default `events`. */
  readonly exchange?: string | undefined;
  /** Default 60. A dead connection is noticed after two to three of these; 0 turns heartbeats off. */
  readonly heartbeatSeconds?: number | undefined;
  /** How long the broker may block publishing before the connection is made anew. Default 300,000. */
  readonly blockedTimeoutMs?: number | undefined;
  /** How long starting waits for a broker that is away. Default 30,000. */
  readonly connectTimeoutMs?: number | undefined;
  readonly tls?: RabbitmqTlsOptions | undefined;
}

/** The options with their defaults. */
export interface RabbitmqSettings {
  readonly name: string;
  readonly urls: readonly string[];
  readonly exchange: string;
  readonly queue: QueueSettings;
  readonly heartbeatSeconds: number;
  readonly blockedTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly tls: RabbitmqTlsOptions;
}

export interface QueueSettings {
  readonly prefetch: number | undefined;
  readonly queueTtlMs: number;
  readonly deliveryLimit: number;
  readonly singleActiveConsumer: boolean;
}

const QUEUE_DEFAULTS: QueueSettings = {
  prefetch: undefined,
  queueTtlMs: 7 * 24 * 3_600_000,
  deliveryLimit: 20,
  singleActiveConsumer: false,
};

/** A timer of Node's, a delivery limit and a TTL of RabbitMQ's all fit in 31 bits. */
const INT_MAX = 2_147_483_647;
/** AMQP counts it in 16 bits. */
const MAX_PREFETCH = 65_535;
const RANGES: Readonly<Record<string, readonly [min: number, max: number]>> = {
  prefetch: [1, MAX_PREFETCH],
  queueTtlMs: [1, INT_MAX],
  deliveryLimit: [1, INT_MAX],
  heartbeatSeconds: [0, 65_535],
  blockedTimeoutMs: [1, INT_MAX],
  connectTimeoutMs: [1, INT_MAX],
};
const QUEUE_KEYS = ['prefetch', 'queueTtlMs', 'deliveryLimit', 'singleActiveConsumer'] as const;
const TRANSPORT_KEYS: readonly string[] = [
  ...QUEUE_KEYS,
  ...['name', 'url', 'urls', 'exchange', 'heartbeatSeconds', 'blockedTimeoutMs', 'connectTimeoutMs', 'tls'],
];

/** Throws EVENTS_OPTIONS_INVALID, which names every mistake. */
export function transportSettings(options: RabbitmqOptions): RabbitmqSettings {
  const problems = [...commonProblems('rabbitmq', options, TRANSPORT_KEYS)];
  if (isObject(options)) problems.push(...urlProblems(options), ...nameProblems(options));
  assertNone(problems);
  return {
    name: options.name ?? 'rabbitmq',
    urls: options.urls ?? [options.url as string],
    exchange: options.exchange ?? 'events',
    queue: queueSettings(options, QUEUE_DEFAULTS),
    heartbeatSeconds: options.heartbeatSeconds ?? 60,
    blockedTimeoutMs: options.blockedTimeoutMs ?? 300_000,
    connectTimeoutMs: options.connectTimeoutMs ?? 30_000,
    tls: options.tls ?? {},
  };
}

/** A handler's own block over the transport's settings. Throws EVENTS_OPTIONS_INVALID. */
export function handlerSettings(block: unknown, base: QueueSettings, handler: string): QueueSettings {
  if (block === undefined) return base;
  assertNone(commonProblems('@OnEvent(…).rabbitmq', block, QUEUE_KEYS), handler);
  return queueSettings(block as RabbitmqHandlerOptions, base);
}

/** What waits for a retry holds a place of the prefetch: so many for each place of the handler, that others go on meanwhile. */
const PREFETCH_PER_PLACE = 10;
const LEAST_PREFETCH = 100;

/** Enough for every place of the handler to be taken, and for many more events to wait for their retries. */
export function defaultPrefetch({ concurrency, batch }: Pick<Subscription, 'concurrency' | 'batch'>): number {
  const wanted = concurrency * Math.max(batch?.size ?? 1, PREFETCH_PER_PLACE);
  return Math.min(Math.max(LEAST_PREFETCH, wanted), MAX_PREFETCH);
}

function queueSettings(options: RabbitmqQueueOptions, base: QueueSettings): QueueSettings {
  return {
    prefetch: options.prefetch ?? base.prefetch,
    queueTtlMs: options.queueTtlMs ?? base.queueTtlMs,
    deliveryLimit: options.deliveryLimit ?? base.deliveryLimit,
    singleActiveConsumer: options.singleActiveConsumer ?? base.singleActiveConsumer,
  };
}

function commonProblems(path: string, options: unknown, known: readonly string[]): string[] {
  if (!isObject(options)) return [`${path} is not an object`];
  const problems: string[] = [];
  for (const [key, value] of Object.entries(options)) {
    if (!known.includes(key)) problems.push(`${path}.${key} is not an option; known are ${known.join(', ')}`);
    else if (value !== undefined) problems.push(...valueProblems(path, key, value));
  }
  return problems;
}

function valueProblems(path: string, key: string, value: unknown): string[] {
  const range = RANGES[key];
  if (range !== undefined && !(Number.isInteger(value) && Number(value) >= range[0] && Number(value) <= range[1])) {
    return [`${path}.${key} must be a whole number from ${range[0]} to ${range[1]}`];
  }
  if (key === 'singleActiveConsumer' && typeof value !== 'boolean') return [`${path}.${key} must be true or false`];
  return key === 'tls' && !isObject(value) ? [`${path}.${key} must be an object of TLS options`] : [];
}

function nameProblems({ name, exchange }: RabbitmqOptions): string[] {
  const problems: string[] = [];
  if (name !== undefined && !isText(name, 255)) problems.push('rabbitmq.name must be a text of 1 to 255 bytes');
  // `<exchange>.dlx` has to fit in an AMQP short string, and the broker keeps `amq.` for itself.
  if (exchange !== undefined && (!isText(exchange, 251) || exchange.startsWith('amq.'))) {
    problems.push('rabbitmq.exchange must be a text of 1 to 251 bytes that does not start with "amq."');
  }
  return problems;
}

function urlProblems({ url, urls }: RabbitmqOptions): string[] {
  if (url !== undefined && urls !== undefined) return ['rabbitmq.url and rabbitmq.urls exclude each other: give one'];
  if (urls === undefined) {
    return url === undefined ? ['rabbitmq.url is missing: give "amqp://host"'] : urlProblem('rabbitmq.url', url);
  }
  if (!Array.isArray(urls) || urls.length === 0) return ['rabbitmq.urls must list at least one url'];
  return urls.flatMap((each, index) => urlProblem(`rabbitmq.urls[${index}]`, each));
}

function urlProblem(path: string, url: unknown): string[] {
  const remedy = 'give "amqp://user:password@host:port/vhost" or "amqps://…"';
  if (typeof url !== 'string') return [`${path} is not a text: ${remedy}`];
  // n.b. a url that cannot be parsed is not shown: where its password begins and ends is not known
  if (!URL.canParse(url)) return [`${path} is not a url: ${remedy}`];
  const { protocol, hostname } = new URL(url);
  if (protocol !== 'amqp:' && protocol !== 'amqps:') return [`${path} has the protocol "${protocol}": ${remedy}`];
  return hostname === '' ? [`${path} (${withoutCredentials(url)}) has no host: ${remedy}`] : [];
}

function assertNone(problems: readonly string[], handler?: string): void {
  if (problems.length === 0) return;
  throw new EventsError('EVENTS_OPTIONS_INVALID', `the RabbitMQ options are wrong: ${problems.join('; ')}`, {
    handler,
    remedy: handler === undefined ? 'Correct what is given to rabbitmq({…}).' : 'Correct the block of this handler.',
  });
}

function isText(value: unknown, maxBytes: number): value is string {
  return typeof value === 'string' && value !== '' && Buffer.byteLength(value) <= maxBytes;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

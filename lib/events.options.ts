import { EventsError } from './core/errors.js';
import { assertEventPattern } from './core/event-name.js';
import { retryProblems } from './core/retry-options.check.js';
import { isWholeNumber } from './core/ranges.js';
import { mergeRetry, type RetryOptions, type RetryOverrides } from './core/retry-options.js';
import { jsonSerializer, type Serializer } from './core/serializer.js';
import type { TransportDefinition } from './core/transport.js';
import type { Routes } from './core/transport-registry.js';
import type { WindowLimits } from './core/window.js';
import type { DeadLetterBody } from './core/dead-letter.js';
import type { DeadLetterStoreDefinition } from './dead-letter/dead-letter-store.js';
import type { IdempotencyDefinition } from './idempotency/idempotency-store.js';
import type { OutboxDefinition } from './outbox/outbox-store.js';
import { DEFAULT_WATCHDOG, type WatchdogOptions } from './observability/watchdog-options.js';
import type { AttemptLogDefinition } from './retry/attempt-log.js';
import { DEFAULT_RETRY } from './retry/retry-policy.js';
import { memory } from './transports/memory/memory.transport.js';

/** Options of `EventsModule.forRoot`. Only `service` is needed. */
export interface EventsModuleOptions {
  /** The `source` of what this application publishes, and the default group of its handlers. */
  readonly service: string;
  /** Default: `[memory()]`, the embedded one. */
  readonly transports?: readonly TransportDefinition[];
  /** Where names are published, `{ 'orders.#': 'kafka' }`: the first match wins, else the first transport. */
  readonly routes?: Routes;
  /** One effect per event and handler: `typeormIdempotency()`, `memoryIdempotency()`. Default: none. */
  readonly idempotency?: IdempotencyDefinition;
  /** Publish if and only if a transaction commits: `typeormOutbox()`. Default: none. */
  readonly outbox?: OutboxDefinition;
  /** Where dead letters are kept besides the brokers, and in which form. Default: with the brokers, as they came. */
  readonly deadLetters?: DeadLettersOptions;
  /** Finds the event that ends the process: `typeormAttempts()`. Default: none. */
  readonly attempts?: AttemptLogDefinition;
  /** Watches for loops that do not end. Default: `{ blockedMs: 10_000, endProcess: false }`; `false`: not watched. */
  readonly watchdog?: Partial<WatchdogOptions> | false;
  /** Default: 4 attempts, exponential from 100 ms to 5 s, with jitter. */
  readonly retry?: RetryOverrides;
  /** Deliveries of one handler at the same time in this process. Default 10. */
  readonly concurrency?: number;
  /** In flight per partition or queue. Default 1,000 deliveries and 16 MiB. */
  readonly window?: Partial<WindowLimits>;
  /** How long a publish may wait for its confirmation. Default 30,000. */
  readonly publishTimeoutMs?: number;
  /** How long shutdown waits for handlers that run. Default 30,000. */
  readonly drainTimeoutMs?: number;
  /** Largest body in bytes. Default 1,000,000. */
  readonly maxPayloadBytes?: number;
  /** Whether global guards, pipes, interceptors and filters apply to handlers too. Default false: most are written for HTTP. */
  readonly inheritAppConfig?: boolean;
  /** Default: JSON, and bytes as they are. */
  readonly serializer?: Serializer;
}

export interface DeadLettersOptions {
  /** Keeps them in the database, for operators: `typeormDeadLetters()`. Default: they stay with the brokers. */
  readonly store?: DeadLetterStoreDefinition;
  /** Whether this process brings what lands with the brokers into the store. Default true. */
  readonly collect?: boolean;
  /** What a broker keeps as the body: `original` (default), or `json`: a description with the original inside. */
  readonly body?: DeadLetterBody;
  /** How often the store is asked for redrives requested elsewhere, in milliseconds. Default 1,000. */
  readonly pollMs?: number;
}

/** The same with every default filled in. */
export interface ResolvedEventsOptions {
  readonly service: string;
  readonly transports: readonly TransportDefinition[];
  readonly routes: Routes;
  readonly idempotency: IdempotencyDefinition | undefined;
  readonly outbox: OutboxDefinition | undefined;
  readonly deadLetters: ResolvedDeadLettersOptions;
  readonly attempts: AttemptLogDefinition | undefined;
  readonly watchdog: WatchdogOptions | false;
  readonly retry: RetryOptions;
  readonly concurrency: number;
  readonly window: WindowLimits;
  readonly publishTimeoutMs: number;
  readonly drainTimeoutMs: number;
  readonly maxPayloadBytes: number;
  readonly inheritAppConfig: boolean;
  readonly serializer: Serializer;
}

export interface ResolvedDeadLettersOptions {
  readonly store: DeadLetterStoreDefinition | undefined;
  readonly collect: boolean;
  readonly body: DeadLetterBody;
  readonly pollMs: number;
}

const KNOWN = new Set([
  'service',
  'transports',
  'routes',
  'idempotency',
  'outbox',
  'deadLetters',
  'attempts',
  'watchdog',
  'retry',
  'concurrency',
  'window',
  'publishTimeoutMs',
  'drainTimeoutMs',
  'maxPayloadBytes',
  'inheritAppConfig',
  'serializer',
]);

/** Checks everything before anything starts. Throws EVENTS_OPTIONS_INVALID with every mistake, its path and its remedy. */
export function resolveOptions(options: EventsModuleOptions): ResolvedEventsOptions {
  const problems = findProblems(options);
  if (problems.length > 0) {
    throw new EventsError(
      'EVENTS_OPTIONS_INVALID',
      `EventsModule was given options it cannot use: ${problems.join('; ')}`,
      {
        remedy: 'Correct them in EventsModule.forRoot or forRootAsync.',
      },
    );
  }
  return {
    service: options.service,
    transports: options.transports ?? [memory()],
    routes: options.routes ?? {},
    idempotency: options.idempotency,
    outbox: options.outbox,
    deadLetters: {
      store: options.deadLetters?.store,
      collect: options.deadLetters?.collect ?? true,
      body: options.deadLetters?.body ?? 'original',
      pollMs: options.deadLetters?.pollMs ?? 1_000,
    },
    attempts: options.attempts,
    watchdog: options.watchdog !== false && {
      blockedMs: options.watchdog?.blockedMs ?? DEFAULT_WATCHDOG.blockedMs,
      endProcess: options.watchdog?.endProcess ?? DEFAULT_WATCHDOG.endProcess,
    },
    retry: mergeRetry(DEFAULT_RETRY, options.retry),
    concurrency: options.concurrency ?? 10,
    window: { maxDeliveries: 1_000, maxBytes: 16 * 1_024 * 1_024, ...options.window },
    publishTimeoutMs: options.publishTimeoutMs ?? 30_000,
    drainTimeoutMs: options.drainTimeoutMs ?? 30_000,
    maxPayloadBytes: options.maxPayloadBytes ?? 1_000_000,
    inheritAppConfig: options.inheritAppConfig ?? false,
    serializer: options.serializer ?? jsonSerializer,
  };
}

function findProblems(options: EventsModuleOptions): string[] {
  if (typeof options !== 'object' || options === null) return ['they are not an object'];
  return [
    ...unknownNames(options),
    ...(typeof options.service === 'string' && /^[A-Za-z0-9_.-]{1,120}$/.test(options.service)
      ? []
      : ['service must be a name of letters, digits, "_", "-" and "." (it becomes part of queue and group names)']),
    ...transportProblems(options),
    ...definitionProblem('idempotency', options.idempotency, 'typeormIdempotency()'),
    ...definitionProblem('outbox', options.outbox, 'typeormOutbox()'),
    ...definitionProblem('deadLetters.store', options.deadLetters?.store, 'typeormDeadLetters()'),
    ...(['original', 'json', undefined].includes(options.deadLetters?.body)
      ? []
      : ['deadLetters.body must be "original" or "json"']),
    ...positiveInteger('deadLetters.pollMs', options.deadLetters?.pollMs),
    ...definitionProblem('attempts', options.attempts, 'typeormAttempts()'),
    ...watchdogProblems(options.watchdog),
    ...retryProblems('retry', options.retry),
    ...positiveInteger('concurrency', options.concurrency),
    ...positiveInteger('window.maxDeliveries', options.window?.maxDeliveries),
    ...positiveInteger('window.maxBytes', options.window?.maxBytes),
    ...positiveInteger('publishTimeoutMs', options.publishTimeoutMs),
    ...positiveInteger('drainTimeoutMs', options.drainTimeoutMs),
    ...positiveInteger('maxPayloadBytes', options.maxPayloadBytes),
  ];
}

function unknownNames(options: EventsModuleOptions): string[] {
  return Object.keys(options)
    .filter((name) => !KNOWN.has(name))
    .map((name) => `${name} is not an option (known are ${[...KNOWN].join(', ')})`);
}

function transportProblems(options: EventsModuleOptions): string[] {
  const { transports = [memory()], routes = {} } = options;
  if (!Array.isArray(transports) || transports.length === 0) return ['transports must be a list of at least one'];
  const definitions = transports as readonly Partial<TransportDefinition>[];
  const bad = definitions.flatMap((each, index) =>
    typeof each?.create === 'function' ? [] : [`transports[${index}] must be made by memory(), kafka() or rabbitmq()`],
  );
  if (bad.length > 0) return bad;
  const names = definitions.map((each) => each.name);
  const twice = names.filter((name, index) => names.indexOf(name) !== index);
  return [
    ...twice.map((name) => `transports has two named "${name}": give one another { name }`),
    ...Object.entries(routes).flatMap(([pattern, name]) => [
      ...patternProblem(pattern),
      ...(names.includes(name)
        ? []
        : [`routes["${pattern}"] names "${name}", but the transports are ${names.join(', ')}`]),
    ]),
  ];
}

function patternProblem(pattern: string): string[] {
  try {
    assertEventPattern(pattern);
    return [];
  } catch (error) {
    return [`routes has the key ${(error as Error).message}`];
  }
}

function definitionProblem(path: string, value: unknown, example: string): string[] {
  if (value === undefined || typeof (value as { create?: unknown }).create === 'function') return [];
  return [`${path} must be made by ${example} or its like`];
}

function watchdogProblems(watchdog: unknown): string[] {
  if (watchdog === undefined || watchdog === false) return [];
  if (typeof watchdog !== 'object' || watchdog === null) {
    return ['watchdog must be false or { blockedMs, endProcess }'];
  }
  const { blockedMs, endProcess } = watchdog as { blockedMs?: unknown; endProcess?: unknown };
  return [
    ...positiveInteger('watchdog.blockedMs', blockedMs),
    ...(['boolean', 'undefined'].includes(typeof endProcess) ? [] : ['watchdog.endProcess must be true or false']),
  ];
}

function positiveInteger(path: string, value: unknown): string[] {
  if (value === undefined || isWholeNumber(value, 1)) return [];
  return [`${path} must be a whole number above 0`];
}

import { Logger } from '@nestjs/common';
import { MetadataScanner, type DiscoveryService, type ModuleRef } from '@nestjs/core';
import { systemClock } from './core/clock.js';
import type { FailurePolicy } from './core/delivery.js';
import { mergeRetry, type RetryOptions } from './core/retry-options.js';
import { HandlingScope } from './core/scope.js';
import type { StoreEnvironment } from './core/store.js';
import type { Subscription } from './core/subscription.js';
import type { TransportEnvironment } from './core/transport.js';
import { TransportRegistry } from './core/transport-registry.js';
import { Caution } from './consuming/caution.js';
import { consumerPipeline } from './consuming/consumer.pipeline.js';
import { Consumers } from './consuming/consumers.js';
import { DeadLetterFilter } from './dead-letter/dead-letter.filter.js';
import type { DeadLetterService } from './dead-letter/dead-letter-service.js';
import { DeadLetterWork } from './events.dead-letters.js';
import { EventsLifecycle } from './events.lifecycle.js';
import type { ResolvedEventsOptions } from './events.options.js';
import type { DeadLetterHandler } from './handlers/dead-letter-handlers.js';
import { DeadLetterListeners } from './handlers/dead-letter-listeners.js';
import { HandlerContextFactory } from './handlers/handler-context.js';
import { HandlerExplorer } from './handlers/handler-explorer.js';
import { HandlerInvoker } from './handlers/handler-invoker.js';
import { HandlerRegistry } from './handlers/handler-registry.js';
import type { IdempotencyStore } from './idempotency/idempotency-store.js';
import { IdempotencyInterceptor } from './idempotency/idempotency.interceptor.js';
import { ActivityStream } from './observability/activity-stream.js';
import { EventsHealth } from './observability/events-health.js';
import { Watchdog } from './observability/watchdog.js';
import { Outbox } from './outbox/outbox.js';
import type { OutboxStore } from './outbox/outbox-store.js';
import { OutboxRelay } from './outbox/outbox-relay.js';
import { EventBus } from './publishing/event-bus.js';
import { kindOf } from './retry/error-kinds.js';
import { CircuitBreakers } from './retry/circuit-breakers.js';
import { RetryPolicy } from './retry/retry-policy.js';

/** What of Nest the parts are built on. */
export interface NestParts {
  readonly moduleRef: ModuleRef;
  readonly discovery: DiscoveryService;
}

/** The parts that the module hands out as providers. */
export interface EventsRuntime {
  readonly bus: EventBus;
  readonly activity: ActivityStream;
  readonly health: EventsHealth;
  readonly deadLetters: DeadLetterService;
  readonly outbox: Outbox;
  readonly idempotency: IdempotencyStore | null;
  readonly policy: FailurePolicy;
  readonly lifecycle: EventsLifecycle;
}

/** Puts the parts of one application together. Nothing starts here: the lifecycle does that. */
export function createRuntime(options: ResolvedEventsOptions, nest: NestParts): EventsRuntime {
  const logger = new Logger('Events');
  const activity = new ActivityStream(logger);
  const stores = storeEnvironment(nest.moduleRef, { logger, activity });
  const scope = new HandlingScope();
  const registry = new HandlerRegistry();
  const transports = createTransports(options, stores);
  const retryOf = (subscription: Subscription): RetryOptions =>
    mergeRetry(options.retry, registry.of(subscription).retry);
  const policy = new RetryPolicy(retryOf, systemClock, logger);
  const breakers = new CircuitBreakers({ clock: systemClock, logger, report: activity.report, optionsOf: retryOf });
  const { activities } = activity;
  const health = new EventsHealth({ transports, breakers, activities, clock: systemClock });
  const idempotency = options.idempotency?.create(stores) ?? null;
  const outbox = options.outbox?.create(stores);

  const { service, serializer, maxPayloadBytes } = options;
  const bus = new EventBus({
    ...{ service, serializer, maxPayloadBytes, transports, scope, outbox },
    report: activity.report,
  });
  const relay = createRelay(options, { bus, transports, stores, outbox });

  const listening: DeadLetterHandler[] = [];
  const explorer = new HandlerExplorer(
    { registry, logger, discovery: nest.discovery, scanner: new MetadataScanner(), listeners: listening },
    { group: service, concurrency: options.concurrency },
  );
  const enhancers = {
    interceptors: idempotency === null ? [] : [new IdempotencyInterceptor(idempotency)],
    filters: [new DeadLetterFilter(policy)],
    inheritAppConfig: options.inheritAppConfig,
  };
  const contexts = (): HandlerContextFactory => new HandlerContextFactory(nest.moduleRef, enhancers);
  const invoker = new HandlerInvoker({ contexts, registry, policy, logger });
  const watchdog =
    options.watchdog === false ? undefined : new Watchdog(options.watchdog, { logger, report: activity.report });
  const pipeline = consumerPipeline((attempt) => {
    watchdog?.begins(attempt.subscription);
    return invoker.invoke(attempt);
  }, scope);
  const parkedKeys = options.deadLetters.store?.create(stores);
  const attempts = options.attempts?.create(stores);
  const caution =
    attempts &&
    new Caution({
      ...{ ...stores, log: attempts, window: options.window.maxDeliveries },
      crashesOf: (subscription) => retryOf(subscription).crashes,
    });
  const consumers = new Consumers(transports, {
    ...stores,
    pipeline,
    policy,
    breakers,
    caution,
    parkedKeys,
    tell: (...told) => listeners.tell(...told),
  });

  const listeners = new DeadLetterListeners({
    ...{ handlers: listening, logger, report: activity.report },
    contexts: () => new HandlerContextFactory(nest.moduleRef, { ...enhancers, interceptors: [], filters: [] }),
  });
  const deadLetters = new DeadLetterWork({
    ...{ options, stores, transports, policy, pipeline, breakers, caution, listeners, store: parkedKeys },
    handlers: () => registry.all(),
  });

  const lifecycle = new EventsLifecycle({
    ...{ listeners, deadLetters, caution, watchdog },
    ...{ explorer, registry, invoker, consumers, transports, activity, logger, outbox, relay },
    idempotency: idempotency ?? undefined,
    ...{ service, drainTimeoutMs: options.drainTimeoutMs },
  });
  const forOperators = { deadLetters: deadLetters.service, outbox: new Outbox(outbox) };
  return { bus, activity, health, ...forOperators, idempotency, policy, lifecycle };
}

/** What a relay is made of, in an application with handlers as in one that only relays. */
export interface RelayParts {
  readonly bus: EventBus;
  readonly transports: TransportRegistry;
  readonly stores: StoreEnvironment;
  readonly outbox: OutboxStore | undefined;
}

export function createRelay(options: RelayingOptions, parts: RelayParts): OutboxRelay | undefined {
  const { bus, transports, stores, outbox } = parts;
  const settings = options.outbox?.relay;
  if (outbox === undefined || settings === false) return undefined;
  return new OutboxRelay(
    {
      ...stores,
      store: outbox,
      transports: transports.all.map(({ name }) => name),
      publish: (entry) => bus.publishEnrolled(entry),
      isAway: (error) => kindOf(error) === 'dependency',
      publishTimeoutMs: options.publishTimeoutMs,
    },
    settings,
  );
}

export function storeEnvironment(
  moduleRef: ModuleRef,
  { logger, activity }: { readonly logger: Logger; readonly activity: ActivityStream },
): StoreEnvironment {
  return {
    clock: systemClock,
    logger,
    report: activity.report,
    production: process.env['NODE_ENV'] === 'production',
    resolve: (token) => findProvider(moduleRef, token),
  };
}

type RelayingOptions = Pick<ResolvedEventsOptions, 'outbox' | 'publishTimeoutMs'>;

export function createTransports(options: ResolvedEventsOptions, stores: StoreEnvironment): TransportRegistry {
  const { service, serializer, publishTimeoutMs, maxPayloadBytes, window } = options;
  const { clock, logger, report, production } = stores;
  const environment: TransportEnvironment = {
    ...{ service, serializer, publishTimeoutMs, maxPayloadBytes, window },
    ...{ clock, logger, report, production },
    onMissingId: options.idempotency?.onMissingId,
    deadLetterBody: options.deadLetters.body,
  };
  return new TransportRegistry(
    options.transports.map((definition) => definition.create(environment)),
    options.routes,
  );
}

function findProvider(moduleRef: ModuleRef, token: unknown): unknown {
  try {
    return moduleRef.get(token as string, { strict: false });
  } catch {
    return undefined;
  }
}

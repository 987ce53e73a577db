import { Logger } from '@nestjs/common';
import { MetadataScanner, type DiscoveryService, type ModuleRef } from '@nestjs/core';
import { systemClock } from './core/clock.js';
import type { FailurePolicy } from './core/delivery.js';
import { mergeRetry } from './core/retry-options.js';
import { HandlingScope } from './core/scope.js';
import type { StoreEnvironment } from './core/store.js';
import type { TransportEnvironment } from './core/transport.js';
import { TransportRegistry } from './core/transport-registry.js';
import { consumerPipeline } from './consuming/consumer.pipeline.js';
import { Consumers } from './consuming/consumers.js';
import { DeadLetterFilter } from './dead-letter/dead-letter.filter.js';
import { DeadLetters } from './dead-letter/dead-letters.js';
import { EventsLifecycle } from './events.lifecycle.js';
import type { ResolvedEventsOptions } from './events.options.js';
import { HandlerContextFactory } from './handlers/handler-context.js';
import { HandlerExplorer } from './handlers/handler-explorer.js';
import { HandlerInvoker } from './handlers/handler-invoker.js';
import { HandlerRegistry } from './handlers/handler-registry.js';
import type { IdempotencyStore } from './idempotency/idempotency-store.js';
import { IdempotencyInterceptor } from './idempotency/idempotency.interceptor.js';
import { ActivityStream } from './observability/activity-stream.js';
import { Outbox } from './outbox/outbox.js';
import type { OutboxStore } from './outbox/outbox-store.js';
import { OutboxRelay } from './outbox/outbox-relay.js';
import { EventBus } from './publishing/event-bus.js';
import { kindOf } from './retry/error-kinds.js';
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
  readonly deadLetters: DeadLetters;
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
  const policy = new RetryPolicy((subscription) => mergeRetry(options.retry, registry.of(subscription).retry));
  const idempotency = options.idempotency?.create(stores) ?? null;
  const outbox = options.outbox?.create(stores);

  const { service, serializer, maxPayloadBytes } = options;
  const bus = new EventBus({
    ...{ service, serializer, maxPayloadBytes, transports, scope, outbox },
    report: activity.report,
  });
  const relay = createRelay(options, { bus, transports, stores, outbox });

  const explorer = new HandlerExplorer(
    { registry, logger, discovery: nest.discovery, scanner: new MetadataScanner() },
    { group: service, concurrency: options.concurrency },
  );
  const enhancers = {
    interceptors: idempotency === null ? [] : [new IdempotencyInterceptor(idempotency)],
    filters: [new DeadLetterFilter(policy)],
    inheritAppConfig: options.inheritAppConfig,
  };
  const contexts = (): HandlerContextFactory => new HandlerContextFactory(nest.moduleRef, enhancers);
  const invoker = new HandlerInvoker({ contexts, registry, policy, logger });
  const pipeline = consumerPipeline((attempt) => invoker.invoke(attempt), scope);
  const consumers = new Consumers(transports, { ...stores, pipeline, policy });

  const lifecycle = new EventsLifecycle({
    ...{ explorer, registry, invoker, consumers, transports, activity, logger, outbox, relay },
    idempotency: idempotency ?? undefined,
    drainTimeoutMs: options.drainTimeoutMs,
  });
  const forOperators = { deadLetters: new DeadLetters(transports), outbox: new Outbox(outbox) };
  return { bus, activity, ...forOperators, idempotency, policy, lifecycle };
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

import {
  ConfigurableModuleBuilder,
  Logger,
  Module,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { EventsError } from './core/errors.js';
import { HandlingScope } from './core/scope.js';
import type { TransportRegistry } from './core/transport-registry.js';
import { resolveOptions, type EventsModuleOptions, type ResolvedEventsOptions } from './events.options.js';
import { createRelay, createTransports, storeEnvironment } from './events.runtime.js';
import { ActivityStream } from './observability/activity-stream.js';
import type { OutboxRelay } from './outbox/outbox-relay.js';
import type { OutboxStore } from './outbox/outbox-store.js';
import { Outbox } from './outbox/outbox.js';
import { EventBus } from './publishing/event-bus.js';

type Shared = 'transports' | 'routes' | 'publishTimeoutMs' | 'drainTimeoutMs' | 'maxPayloadBytes' | 'serializer';

/**
 * Options of `EventsRelayModule.forRoot`: those of the applications that enrol, as far as they concern publishing.
 * `routes` may be given so that both share them; each stored event names its transport already.
 */
export interface EventsRelayModuleOptions extends Pick<EventsModuleOptions, Shared> {
  /** How the relay introduces itself to brokers. Events keep the source they were enrolled with. */
  readonly service: string;
  /** The outbox to relay: `typeormOutbox()`. */
  readonly outbox: NonNullable<EventsModuleOptions['outbox']>;
}

const KNOWN = new Set<string>([
  ...([
    'transports',
    'routes',
    'publishTimeoutMs',
    'drainTimeoutMs',
    'maxPayloadBytes',
    'serializer',
  ] satisfies Shared[]),
  'service',
  'outbox',
]);

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } = new ConfigurableModuleBuilder<EventsRelayModuleOptions>({
  moduleName: 'EventsRelay',
})
  .setClassMethodName('forRoot')
  .setExtras({}, (definition) => ({ ...definition, global: true }))
  .build();

interface RelayParts {
  readonly transports: TransportRegistry;
  readonly outbox: OutboxStore;
  readonly relay: OutboxRelay;
  readonly activity: ActivityStream;
  readonly drainTimeoutMs: number;
}

/** Connects, relays and stops; the order is that of an application with handlers. */
class RelayLifecycle implements OnModuleInit, OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown {
  constructor(readonly parts: RelayParts) {}

  async onModuleInit(): Promise<void> {
    const { outbox, transports } = this.parts;
    try {
      await outbox.prepare();
      await Promise.all(transports.all.map((transport) => transport.connect()));
    } catch (error) {
      // Nest runs no shutdown hooks for an application that failed to start.
      await this.onApplicationShutdown().catch(() => undefined); // the first error is the one to tell
      throw error;
    }
  }

  onApplicationBootstrap(): void {
    this.parts.relay.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.parts.relay.stop(this.parts.drainTimeoutMs);
  }

  async onApplicationShutdown(): Promise<void> {
    const { transports, outbox, activity } = this.parts;
    await Promise.all(transports.all.map((transport) => transport.close()));
    outbox.close?.();
    activity.complete();
  }
}

/**
 * Relays the outbox of other applications, without handlers: `EventsRelayModule.forRoot({ service: 'shop-relay',
 * transports: [kafka({ brokers })], outbox: typeormOutbox() })`. Those applications may say `typeormOutbox({ relay: false })`.
 */
@Module({
  providers: [
    {
      provide: RelayLifecycle,
      inject: [MODULE_OPTIONS_TOKEN, ModuleRef],
      useFactory: (options: EventsRelayModuleOptions, moduleRef: ModuleRef) => createParts(options, moduleRef),
    },
    {
      provide: Outbox,
      inject: [RelayLifecycle],
      useFactory: ({ parts }: RelayLifecycle) => new Outbox(parts.outbox),
    },
    { provide: ActivityStream, inject: [RelayLifecycle], useFactory: ({ parts }: RelayLifecycle) => parts.activity },
  ],
  exports: [Outbox, ActivityStream],
})
export class EventsRelayModule extends ConfigurableModuleClass {}

function createParts(given: EventsRelayModuleOptions, moduleRef: ModuleRef): RelayLifecycle {
  assertRelayOptions(given);
  const options = resolveOptions(given);
  const logger = new Logger('EventsRelay');
  const activity = new ActivityStream(logger);
  const stores = storeEnvironment(moduleRef, { logger, activity });
  const transports = createTransports(options, stores);
  const outbox = given.outbox.create(stores);
  const bus = relayingBus(options, { transports, activity });
  const relay = createRelay(options, { bus, transports, stores, outbox }) as OutboxRelay;
  return new RelayLifecycle({ transports, outbox, relay, activity, drainTimeoutMs: options.drainTimeoutMs });
}

function relayingBus(
  { service, serializer, maxPayloadBytes }: ResolvedEventsOptions,
  { transports, activity }: Pick<RelayParts, 'transports' | 'activity'>,
): EventBus {
  const scope = new HandlingScope();
  return new EventBus({
    service,
    serializer,
    maxPayloadBytes,
    transports,
    scope,
    outbox: undefined,
    report: activity.report,
  });
}

/** Throws EVENTS_OPTIONS_INVALID. */
function assertRelayOptions(options: EventsRelayModuleOptions): void {
  const problems = Object.keys(options ?? {})
    .filter((name) => !KNOWN.has(name))
    .map((name) => `${name} is not an option (known are ${[...KNOWN].join(', ')})`);
  if (options?.outbox === undefined) problems.push('outbox is missing');
  else if (options.outbox.relay === false) problems.push('outbox says relay: false, but this module is there to relay');
  if (problems.length === 0) return;
  throw new EventsError(
    'EVENTS_OPTIONS_INVALID',
    `EventsRelayModule was given options it cannot use: ${problems.join('; ')}`,
    {
      remedy: 'Correct them in EventsRelayModule.forRoot or forRootAsync, for example with outbox: typeormOutbox().',
    },
  );
}

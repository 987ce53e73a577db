import { ConfigurableModuleBuilder, Module, type DynamicModule, type Provider, type Type } from '@nestjs/common';
import { DiscoveryModule, DiscoveryService, ModuleRef } from '@nestjs/core';
import { FAILURE_POLICY } from './core/delivery.js';
import { DeadLetterFilter } from './dead-letter/dead-letter.filter.js';
import { DeadLetterService } from './dead-letter/dead-letter-service.js';
import { EventsLifecycle } from './events.lifecycle.js';
import { resolveOptions, type EventsModuleOptions } from './events.options.js';
import { createRuntime, type EventsRuntime } from './events.runtime.js';
import { EventsFeatureModule, type EventsFeatureOptions } from './handlers/feature-group.js';
import { IDEMPOTENCY_STORE } from './idempotency/idempotency-store.js';
import { IdempotencyInterceptor } from './idempotency/idempotency.interceptor.js';
import { ActivityStream } from './observability/activity-stream.js';
import { EventsHealth } from './observability/events-health.js';
import { Outbox } from './outbox/outbox.js';
import { EventBus } from './publishing/event-bus.js';

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } = new ConfigurableModuleBuilder<EventsModuleOptions>({
  moduleName: 'Events',
})
  .setClassMethodName('forRoot')
  .setExtras({}, (definition) => ({ ...definition, global: true }))
  .build();

const RUNTIME = Symbol('nestjs-events.runtime');

/** A part of the runtime under a token of its own. */
const part = <T>(token: symbol | Type<T>, pick: (runtime: EventsRuntime) => T | null): Provider => ({
  provide: token,
  inject: [RUNTIME],
  useFactory: pick,
});

/**
 * `EventsModule.forRoot({ service: 'shop', transports: [kafka({ brokers })] })` in the root module;
 * `EventsModule.forFeature({ group: 'analytics' })` in a module whose handlers form their own group.
 */
@Module({
  imports: [DiscoveryModule],
  providers: [
    {
      provide: RUNTIME,
      inject: [MODULE_OPTIONS_TOKEN, ModuleRef, DiscoveryService],
      useFactory: (options: EventsModuleOptions, moduleRef: ModuleRef, discovery: DiscoveryService) =>
        createRuntime(resolveOptions(options), { moduleRef, discovery }),
    },
    part(EventBus, ({ bus }) => bus),
    part(ActivityStream, ({ activity }) => activity),
    part(EventsHealth, ({ health }) => health),
    part(DeadLetterService, ({ deadLetters }) => deadLetters),
    part(Outbox, ({ outbox }) => outbox),
    part(EventsLifecycle, ({ lifecycle }) => lifecycle),
    part(IDEMPOTENCY_STORE, ({ idempotency }) => idempotency),
    part(FAILURE_POLICY, ({ policy }) => policy),
    IdempotencyInterceptor,
    DeadLetterFilter,
  ],
  exports: [
    EventBus,
    ActivityStream,
    EventsHealth,
    DeadLetterService,
    Outbox,
    IDEMPOTENCY_STORE,
    FAILURE_POLICY,
    IdempotencyInterceptor,
    DeadLetterFilter,
  ],
})
export class EventsModule extends ConfigurableModuleClass {
  /** The handlers of the importing Nest module form a group of their own: own lag, own pace, own failures. */
  static forFeature(options: EventsFeatureOptions): DynamicModule {
    return EventsFeatureModule.register(options);
  }
}

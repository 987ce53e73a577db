/** The public names of nestjs-events. Transports with a client and stores with a database have entries of their own. */
export { EventsModule } from './events.module.js';
export type { EventsModuleOptions } from './events.options.js';
export { EventsRelayModule, type EventsRelayModuleOptions } from './events-relay.module.js';

export { OnEvent, OnEvents, type OnEventOptions, type OnEventsOptions } from './handlers/on-event.decorator.js';
/** The same decorator, for code that also uses the `OnEvent` of @nestjs/event-emitter. */
export { OnEvent as OnBrokerEvent } from './handlers/on-event.decorator.js';
export { EventAttempt, EventEnvelope, Payload } from './handlers/parameters.decorator.js';
export type { EventsFeatureOptions } from './handlers/feature-group.js';

export { EventBus, PartialPublish, type OutgoingEvent, type PublishOptions } from './publishing/event-bus.js';
export type { DelayOptions } from './publishing/delay.js';

export { DeadLetterFilter } from './dead-letter/dead-letter.filter.js';
export { DeadLetters, type DeadLettersQuery } from './dead-letter/dead-letters.js';
/** The decorator, and the type of what a store remembers. */
export { IdempotencyKey } from './idempotency/idempotency-key.decorator.js';
export { IdempotencyInterceptor } from './idempotency/idempotency.interceptor.js';
export { memoryOutbox, type MemoryOutboxOptions } from './outbox/memory-outbox.js';
export { memoryIdempotency, type MemoryIdempotencyOptions } from './idempotency/memory-idempotency.js';
export type {
  IdempotencyDefinition,
  IdempotencyStore,
  OnceAllResult,
  OnceResult,
} from './idempotency/idempotency-store.js';
export { Outbox } from './outbox/outbox.js';
export type {
  OutboxDefinition,
  OutboxEntry,
  OutboxLag,
  OutboxStore,
  ParkedEvent,
  ParkedQuery,
  Relayed,
  RelayRequest,
  RelayResult,
  RelaySettings,
  TakenEntry,
} from './outbox/outbox-store.js';

export { ACTIVITY_CHANNEL, ActivityStream } from './observability/activity-stream.js';
export type { Activity } from './core/activity.js';

export { memory, type MemoryOptions } from './transports/memory/memory.transport.js';
export { MemoryBroker } from './transports/memory/memory.broker.js';

export { isEventsContext } from './core/events-context.js';
export { EventsError, isEventsError, type EventsErrorCode } from './core/errors.js';
export type { Envelope } from './core/envelope.js';
export type { OnMissingId } from './core/missing-id.js';
export type { HeaderValue, Headers } from './core/headers.js';
export type { Attempt, Delivery, Place, RawEvent } from './core/delivery.js';
export type { BatchAttempt } from './core/batch.js';
export { BatchError, type BatchFailure } from './core/batch-error.js';
export { isOutcome, outcome, type Outcome } from './core/outcome.js';
export type { DeadLetter, DeadLetterError } from './core/dead-letter.js';
export type { BatchOptions, Subscription } from './core/subscription.js';
export type { BackoffOptions, RetryOptions, RetryOverrides } from './core/retry-options.js';
export { jsonSerializer, type Serializer } from './core/serializer.js';
export type {
  ConsumeRequest,
  Transport,
  TransportCapabilities,
  TransportConsumer,
  TransportDefinition,
  TransportEnvironment,
  TransportRetention,
} from './core/transport.js';
export type { StoreEnvironment } from './core/store.js';

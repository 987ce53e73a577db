/** The public names of nestjs-events. Transports with a client and stores with a database have entries of their own. */
export { EventsModule } from './events.module.js';
export type { DeadLettersOptions, EventsModuleOptions } from './events.options.js';
export { EventsRelayModule, type EventsRelayModuleOptions } from './events-relay.module.js';

export { OnEvent, OnEvents, type OnEventOptions, type OnEventsOptions } from './handlers/on-event.decorator.js';
/** The same decorator, for code that also uses the `OnEvent` of @nestjs/event-emitter. */
export { OnEvent as OnBrokerEvent } from './handlers/on-event.decorator.js';
export { EventAttempt, EventEnvelope, Payload } from './handlers/parameters.decorator.js';
export type { EventsFeatureOptions } from './handlers/feature-group.js';

export { EventBus, PartialPublish, type OutgoingEvent, type PublishOptions } from './publishing/event-bus.js';
export type { DelayOptions } from './publishing/delay.js';

export { DeadLetterFilter } from './dead-letter/dead-letter.filter.js';
export {
  DeadLetterService,
  type DeadLetterWithHistory,
  type RedrivePreview,
} from './dead-letter/dead-letter-service.js';
export type {
  ClaimedDeadLetter,
  ClaimRequest,
  DeadLetterAction,
  DeadLetterCriteria,
  DeadLetterPage,
  DeadLetterPageRequest,
  DeadLetterState,
  DeadLetterStore,
  DeadLetterStoreDefinition,
  Operator,
  Redrive,
  RedrivePage,
  RedriveRequest,
  RedriveResult,
  RedriveResultPage,
  SettledClaim,
  StoredDeadLetter,
} from './dead-letter/dead-letter-store.js';
export type { DeadLetterEdit } from './dead-letter/dead-letter-edit.js';
export type { DeadLetterSelection } from './dead-letter/dead-letter-inputs.js';
export { OnDeadLetter, type OnDeadLetterOptions } from './handlers/on-dead-letter.decorator.js';
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
export {
  EventsHealth,
  type HandlerHealth,
  type HealthSnapshot,
  type PausedIntake,
  type TransportHealth,
} from './observability/events-health.js';
export type { WatchdogOptions } from './observability/watchdog-options.js';
export type { Activity, BreakerState } from './core/activity.js';
export type { AttemptLog, AttemptLogDefinition, LoggedAttempt } from './retry/attempt-log.js';

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
export type {
  BackoffOptions,
  BreakerOptions,
  BreakerRate,
  RetryAction,
  RetryOptions,
  RetryOverrides,
  RetryRule,
} from './core/retry-options.js';
export type { Limit } from './core/limit.js';
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

import type { RetryOverrides } from '../core/retry-options.js';
import type { BatchOptions } from '../core/subscription.js';

/** How one handler wants its events. Everything has a default. */
export interface OnEventOptions {
  /** Part of names that live outside the code (queues, dedup rows, dead letters). Default `Class.method`. */
  readonly id?: string;
  /** Former ids: old dedup rows count, old queues are drained. */
  readonly aliases?: readonly string[];
  /** Default: that of the Nest module (`EventsModule.forFeature({ group })`), else the service. */
  readonly group?: string;
  /** The name of the transport to listen on. Default: every transport whose routes can carry the pattern. */
  readonly transport?: string;
  /** How many deliveries run at the same time in this process. Default 10. */
  readonly concurrency?: number;
  /** `key` (default): events of one key in order. `none`: no order, more side by side. */
  readonly ordering?: 'key' | 'none';
  /**
   * What becomes of later events of a key one of which is a dead letter. `continue` (default): they are handled.
   * `park-key`: they follow it, in order, until it is redriven or discarded; needs `deadLetters: { store }` and an order.
   */
  readonly afterDeadLetter?: 'continue' | 'park-key';
  /** Replaces single values of the module's `retry`; its rules come before the module's. */
  readonly retry?: RetryOverrides;
  /** `false`: the idempotency interceptor leaves this handler alone. Default true. */
  readonly idempotent?: boolean;
  /** What only one kind of transport understands. */
  readonly kafka?: Readonly<Record<string, unknown>>;
  readonly rabbitmq?: Readonly<Record<string, unknown>>;
}

/** How one batch handler wants its events. */
export interface OnEventsOptions extends OnEventOptions {
  /** How many batches run at the same time in this process, and events that go by themselves. Default 4. */
  readonly concurrency?: number;
  /** Default: up to 100 events, which wait up to 20 ms for each other. */
  readonly batch?: Partial<BatchOptions>;
}

/** One use of a decorator. */
export interface OnEventMetadata {
  readonly decorator: '@OnEvent' | '@OnEvents';
  readonly patterns: readonly string[];
  readonly options: OnEventsOptions;
}

/** @nestjs/event-emitter has an OnEvent too: this key is ours alone. */
const ON_EVENT_METADATA = 'nestjs-events:on-event';

/**
 * Handles the events that match, on a provider or a controller: `@OnEvent('orders.order.placed')`.
 * In a pattern `*` stands for one word and `#` for zero or more. Several on one method add up; an event that matches
 * more than one is handled once.
 */
export function OnEvent(patterns: string | readonly string[], options: OnEventOptions = {}): MethodDecorator {
  return adding({ decorator: '@OnEvent', patterns: listOf(patterns), options });
}

/**
 * Handles the events that match in batches: `@OnEvents('analytics.page.viewed', { batch: { size: 100, waitMs: 20 } })` on
 * a method that takes `Envelope[]`. With an idempotency store a batch is one transaction, and the method gets only those
 * that are new.
 *
 * When it throws, the batch is run again in halves until the events at fault are found; they are retried by themselves. A
 * handler that knows them says so with a `BatchError`. An event that comes by itself is a batch of one.
 */
export function OnEvents(patterns: string | readonly string[], options: OnEventsOptions = {}): MethodDecorator {
  return adding({ decorator: '@OnEvents', patterns: listOf(patterns), options });
}

function adding(added: OnEventMetadata): MethodDecorator {
  return (_target, _method, descriptor: PropertyDescriptor) => {
    const method = descriptor.value as object;
    Reflect.defineMetadata(ON_EVENT_METADATA, [added, ...onEventMetadata(method)], method);
  };
}

const listOf = (patterns: string | readonly string[]): readonly string[] =>
  typeof patterns === 'string' ? [patterns] : patterns;

/** The decorators of a method, top to bottom; empty when it is no handler. */
export function onEventMetadata(method: object): readonly OnEventMetadata[] {
  return (Reflect.getMetadata(ON_EVENT_METADATA, method) as OnEventMetadata[] | undefined) ?? [];
}

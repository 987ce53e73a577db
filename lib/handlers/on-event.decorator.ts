import type { RetryOverrides } from '../core/retry-options.js';

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
  /** Replaces single values of the module's `retry`. */
  readonly retry?: RetryOverrides;
  /** `false`: the idempotency interceptor leaves this handler alone. Default true. */
  readonly idempotent?: boolean;
  /** What only one kind of transport understands. */
  readonly kafka?: Readonly<Record<string, unknown>>;
  readonly rabbitmq?: Readonly<Record<string, unknown>>;
}

/** One use of the decorator. */
export interface OnEventMetadata {
  readonly patterns: readonly string[];
  readonly options: OnEventOptions;
}

/** @nestjs/event-emitter has an OnEvent too: this key is ours alone. */
const ON_EVENT_METADATA = 'nestjs-events:on-event';

/**
 * Handles the events that match, on a provider or a controller: `@OnEvent('orders.order.placed')`.
 * In a pattern `*` stands for one word and `#` for zero or more. Several on one method add up; an event that matches
 * more than one is handled once.
 */
export function OnEvent(patterns: string | readonly string[], options: OnEventOptions = {}): MethodDecorator {
  const added: OnEventMetadata = { patterns: typeof patterns === 'string' ? [patterns] : patterns, options };
  return (_target, _method, descriptor: PropertyDescriptor) => {
    const method = descriptor.value as object;
    Reflect.defineMetadata(ON_EVENT_METADATA, [added, ...onEventMetadata(method)], method);
  };
}

/** The decorators of a method, top to bottom; empty when it is no handler. */
export function onEventMetadata(method: object): readonly OnEventMetadata[] {
  return (Reflect.getMetadata(ON_EVENT_METADATA, method) as OnEventMetadata[] | undefined) ?? [];
}

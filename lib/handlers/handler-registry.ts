import type { InstanceWrapper } from '@nestjs/core/injector/instance-wrapper.js';
import { EventsError } from '../core/errors.js';
import type { RetryOverrides } from '../core/retry-options.js';
import { consumerName, type Subscription } from '../core/subscription.js';

/** A method found by the explorer, with what it asked for. */
export interface RegisteredHandler {
  readonly subscription: Subscription;
  readonly wrapper: InstanceWrapper<object>;
  readonly method: string;
  /** `Class.method`, for messages. */
  readonly label: string;
  readonly transport: string | undefined;
  readonly retry: RetryOverrides;
}

/** The handlers of the application. */
export class HandlerRegistry {
  readonly #handlers = new Map<string, RegisteredHandler>();

  /** Throws EVENTS_HANDLER_DUPLICATE: two handlers of one group with one id would share queue and dedup rows. */
  add(handler: RegisteredHandler): void {
    const name = consumerName(handler.subscription);
    const other = this.#handlers.get(name);
    if (other !== undefined) {
      throw new EventsError(
        'EVENTS_HANDLER_DUPLICATE',
        `${other.label} and ${handler.label} of the group "${handler.subscription.group}" have the same id`,
        {
          handler: handler.subscription.handler,
          remedy: 'Give one of them another { id }, or its module another group with EventsModule.forFeature.',
        },
      );
    }
    this.#handlers.set(name, handler);
  }

  all(): readonly RegisteredHandler[] {
    return [...this.#handlers.values()];
  }

  /** Throws EVENTS_HANDLER_NOT_FOUND. */
  of(subscription: Pick<Subscription, 'group' | 'handler'>): RegisteredHandler {
    const handler = this.#handlers.get(consumerName(subscription));
    if (handler !== undefined) return handler;
    throw new EventsError('EVENTS_HANDLER_NOT_FOUND', `the group "${subscription.group}" has no such handler`, {
      handler: subscription.handler,
      remedy: `Known are: ${[...this.#handlers.keys()].join(', ') || 'none'}.`,
    });
  }
}

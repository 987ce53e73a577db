import { AsyncLocalStorage } from 'node:async_hooks';
import type { Clock } from './clock.js';
import { envelopeOf, type Delivery } from './delivery.js';
import { Lanes, type Slot } from './lanes.js';
import { messageOf } from './errors.js';
import type { EventsLogger } from './logger.js';
import { consumerName, type Subscription } from './subscription.js';

export interface HandlerLanesOptions {
  readonly process: (delivery: Delivery, slot: Slot) => Promise<void>;
  readonly clock: Clock;
  readonly logger: EventsLogger;
}

/** The lanes of each handler of a consumer: a slow handler holds up its own deliveries only. */
export class HandlerLanes {
  readonly #lanes = new Map<Subscription, Lanes<Delivery>>();
  /** Deliveries run in the context of the consumer, not of whoever pushed: a handler that publishes in memory is no part of what it causes. */
  readonly #atHome = AsyncLocalStorage.snapshot();
  #closed = false;

  constructor(private readonly options: HandlerLanesOptions) {}

  /** Queues a delivery in its handler's lane for its key. Once closed, the delivery is released instead. */
  push(delivery: Delivery): void {
    const key = delivery.subscription.ordering === 'key' ? envelopeOf(delivery)?.key : undefined;
    if (this.#closed || !this.#of(delivery.subscription).push(delivery, key)) delivery.release();
  }

  /** Starts nothing more; what has not started is released. */
  close(): void {
    this.#closed = true;
    for (const lanes of this.#lanes.values()) {
      for (const delivery of lanes.close()) delivery.release();
    }
  }

  async idle(): Promise<void> {
    await Promise.all([...this.#lanes.values()].map((lanes) => lanes.idle()));
  }

  #of(subscription: Subscription): Lanes<Delivery> {
    let lanes = this.#lanes.get(subscription);
    if (lanes === undefined) {
      const { process, clock, logger } = this.options;
      lanes = new Lanes({
        concurrency: subscription.concurrency,
        clock,
        run: (delivery, slot) => this.#atHome(process, delivery, slot),
        onError: (error) => logger.error(`${consumerName(subscription)}: process() threw: ${messageOf(error)}`),
      });
      this.#lanes.set(subscription, lanes);
    }
    return lanes;
  }
}

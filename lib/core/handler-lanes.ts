import { AsyncLocalStorage } from 'node:async_hooks';
import { BatchLanes } from './batch-lanes.js';
import type { Clock } from './clock.js';
import { envelopeOf, laneKeyOf, type Delivery } from './delivery.js';
import { Lanes, type Slot } from './lanes.js';
import { messageOf } from './errors.js';
import type { Limit } from './limit.js';
import type { EventsLogger } from './logger.js';
import { consumerName, type Subscription } from './subscription.js';

export interface HandlerLanesOptions {
  readonly process: (delivery: Delivery, slot: Slot) => Promise<void>;
  /** Returns the deliveries that have to go through `process`. */
  readonly processBatch: (deliveries: readonly Delivery[], slot: Slot) => Promise<readonly Delivery[]>;
  /** How many deliveries, or batches, of a handler may run now; asked for once. */
  readonly limitOf: (subscription: Subscription) => Limit;
  readonly clock: Clock;
  readonly logger: EventsLogger;
}

/** The lanes of each handler of a consumer: a slow handler holds up its own deliveries only. */
export class HandlerLanes {
  readonly #lanes = new Map<Subscription, Lanes<Delivery> | BatchLanes<Delivery>>();
  /** Deliveries run in the context of the consumer, not of whoever pushed: a handler that publishes in memory is no part of what it causes. */
  readonly #atHome = AsyncLocalStorage.snapshot();
  #closed = false;

  constructor(private readonly options: HandlerLanesOptions) {}

  /** Queues a delivery in its handler's lane for its key. Once closed, the delivery is released instead. */
  push(delivery: Delivery): void {
    const key = laneKeyOf(delivery);
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

  #of(subscription: Subscription): Lanes<Delivery> | BatchLanes<Delivery> {
    let lanes = this.#lanes.get(subscription);
    if (lanes === undefined) this.#lanes.set(subscription, (lanes = this.#create(subscription)));
    return lanes;
  }

  #create(subscription: Subscription): Lanes<Delivery> | BatchLanes<Delivery> {
    const { process, processBatch, limitOf, clock, logger } = this.options;
    const { concurrency, batch } = subscription;
    const each = {
      ...{ concurrency, clock, limit: limitOf(subscription) },
      run: (delivery: Delivery, slot: Slot) => this.#atHome(process, delivery, slot),
      onError: (error: unknown) => logger.error(`${consumerName(subscription)}: process() threw: ${messageOf(error)}`),
    };
    if (batch === undefined) return new Lanes(each);
    return new BatchLanes({
      ...each,
      ...batch,
      runBatch: (deliveries, slot) => this.#atHome(processBatch, deliveries, slot),
      isAlone: (delivery) => delivery.alone === true || envelopeOf(delivery) === undefined,
    });
  }
}

import { within, type Clock } from '../core/clock.js';
import type { DeadLetter } from '../core/dead-letter.js';
import type { Delivery } from '../core/delivery.js';
import { messageOf } from '../core/errors.js';
import { printable } from '../core/logger.js';
import { consumerName } from '../core/subscription.js';
import type { Transport, TransportConsumer } from '../core/transport.js';
import type { TransportRegistry } from '../core/transport-registry.js';
import { Consumer } from './consumer.js';
import type { ConsumerTools } from './consumer.tools.js';
import { parkKey, parksKey } from './parking.js';
import { planOf, type PlacedSubscription, type Plan } from './subscription-plan.js';

interface Running {
  readonly transport: Transport;
  readonly group: string;
  readonly consumer: TransportConsumer;
}

/** Names of unhandled events remembered for the warning; more of them are counted, not warned about. */
const MAX_WARNED_NAMES = 1_000;

/** All consumers of the application: one per group and transport. Declares, starts, drains and closes them. */
export class Consumers {
  readonly #running: Running[] = [];
  readonly #warned = new Set<string>();
  readonly #deadline = new AbortController();

  constructor(
    private readonly transports: TransportRegistry,
    private readonly tools: Omit<ConsumerTools, 'writeDeadLetter' | 'deadline'> & { readonly clock: Clock },
  ) {}

  /** From now on nothing published is lost for want of a place to wait in. */
  async declare(subscriptions: readonly PlacedSubscription[]): Promise<void> {
    const plans = planOf(subscriptions, this.transports);
    await Promise.all(plans.map(({ transport, subscriptions: planned }) => transport.declare(planned)));
  }

  /** Throws the first error when all have started or failed: what did start is then there to be drained. */
  async start(subscriptions: readonly PlacedSubscription[]): Promise<void> {
    const started = await Promise.allSettled(
      planOf(subscriptions, this.transports).map((plan) => this.#startOne(plan)),
    );
    const failed = started.find((each) => each.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  /**
   * Stops intake, waits until what runs is settled, closes. What is not done within the deadline is told to stop and
   * will be delivered again. Returns how many consumers did not finish.
   */
  async drain(deadlineMs: number): Promise<number> {
    const running = this.#running.splice(0);
    await Promise.all(running.map(({ consumer }) => consumer.stop()));
    const drained = await Promise.all(
      running.map(async ({ consumer }) => within(this.tools.clock, deadlineMs, consumer.drain())),
    );
    this.#deadline.abort();
    await Promise.all(running.map((each) => this.#close(each)));
    this.tools.breakers.close();
    return drained.filter((done) => !done).length;
  }

  async #startOne({ transport, group, subscriptions }: Plan): Promise<void> {
    const { parkedKeys } = this.tools;
    const writeDeadLetter = (letter: DeadLetter, delivery: Delivery): Promise<void> =>
      parkedKeys !== undefined && parksKey(delivery)
        ? parkKey(letter, delivery, parkedKeys)
        : transport.writeDeadLetter(letter);
    const consumer = new Consumer({ ...this.tools, writeDeadLetter, deadline: this.#deadline.signal });
    // Known from the start, to whoever asks how the handlers are.
    for (const subscription of subscriptions) this.tools.breakers.of(subscription);
    const running = await transport.consume({
      group,
      subscriptions,
      process: (delivery, slot) => consumer.process(delivery, slot),
      processBatch: (deliveries, slot) => consumer.processBatch(deliveries, slot),
      limitOf: (subscription) => this.tools.breakers.of(subscription).limit,
      unhandled: (event, place) => {
        this.tools.report({ type: 'unhandled', event, group, place });
        this.#warnUnhandled(event, group);
      },
    });
    this.#running.push({ transport, group, consumer: running });
    for (const subscription of subscriptions) {
      const { patterns, batch } = subscription;
      this.tools.logger.log(
        `${consumerName(subscription)} handles ${patterns.join(', ')} from ${transport.name}` +
          (batch === undefined ? '' : ` in batches of up to ${batch.size}`),
      );
    }
  }

  async #close({ transport, group, consumer }: Running): Promise<void> {
    try {
      await consumer.close();
    } catch (error) {
      this.tools.logger.warn(`the consumer of "${group}" on ${transport.name} did not close: ${messageOf(error)}`);
    }
  }

  #warnUnhandled(event: string, group: string): void {
    const name = JSON.stringify([group, event]);
    if (this.#warned.has(name) || this.#warned.size >= MAX_WARNED_NAMES) return;
    this.#warned.add(name);
    this.tools.logger.warn(`no handler of "${group}" matches ${printable(event)}; such events are counted and settled`);
  }
}

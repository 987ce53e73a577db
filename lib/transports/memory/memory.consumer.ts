import { envelopeOf, type Delivery } from '../../core/delivery.js';
import { PatternTrie } from '../../core/event-name.js';
import { HandlerLanes } from '../../core/handler-lanes.js';
import { IntakeWatch } from '../../core/intake-watch.js';
import { consumerName, type Subscription } from '../../core/subscription.js';
import type { ConsumeRequest, TransportConsumer, TransportEnvironment } from '../../core/transport.js';
import { Window } from '../../core/window.js';
import type { MemoryBroker, MemoryQueue, QueueMember, StoredEvent } from './memory.broker.js';
import { toContent, toRaw } from './memory.mapper.js';

/** One group's handlers, each a member of its own queue. */
export class MemoryConsumer implements TransportConsumer {
  readonly #lanes: HandlerLanes;
  readonly #members: { readonly queue: MemoryQueue; readonly member: QueueMember; readonly watch: IntakeWatch }[] = [];
  /** What is in flight, each with the way back to its queue. */
  readonly #unsettled = new Set<() => void>();
  readonly #lost = new AbortController();

  constructor(
    private readonly broker: MemoryBroker,
    private readonly environment: TransportEnvironment & { readonly transport: string },
    private readonly request: ConsumeRequest,
  ) {
    this.#lanes = new HandlerLanes({
      process: (delivery, slot) => request.process(delivery, slot),
      processBatch: (deliveries, slot) => request.processBatch(deliveries, slot),
      limitOf: (subscription) => request.limitOf(subscription),
      clock: environment.clock,
      logger: environment.logger,
    });
  }

  start(): void {
    for (const subscription of this.request.subscriptions) this.#join(subscription);
  }

  async stop(): Promise<void> {
    for (const { queue, member, watch } of this.#members) {
      queue.leave(member);
      watch.close();
    }
    this.#lanes.close();
  }

  async drain(): Promise<void> {
    await this.#lanes.idle();
  }

  async close(): Promise<void> {
    await this.stop();
    this.#lost.abort();
    for (const giveBack of this.#unsettled) giveBack();
    const { environment, request } = this;
    environment.report({ type: 'consumer-stopped', transport: environment.transport, group: request.group });
  }

  #join(subscription: Subscription): void {
    const { clock, report, transport } = this.environment;
    const place = consumerName(subscription);
    const queue = this.broker.declare(place, subscription.patterns);
    const window = new Window<number>(this.environment.window);
    const about = { transport, group: subscription.group, place };
    const watch = new IntakeWatch({ clock, report, about, isFull: () => window.full });
    const patterns = new PatternTrie<true>();
    for (const pattern of subscription.patterns) patterns.add(pattern, true);
    const member: QueueMember = {
      hasRoom: () => !window.full,
      take: (event) => {
        const entry = window.enter(event.position, event.body?.byteLength ?? 0);
        const delivery = this.#delivery(subscription, event, (giveBack) => {
          window.settle(entry);
          watch.settled();
          if (giveBack) queue.giveBack(event);
          else queue.settled(event);
        });
        this.#push(delivery, patterns);
        watch.taken();
      },
    };
    this.#members.push({ queue, member, watch });
    queue.join(member);
  }

  /** The name that an event has counts, not the one it was sent to. */
  #push(delivery: Delivery, patterns: PatternTrie<true>): void {
    const event = envelopeOf(delivery)?.name;
    if (event === undefined || patterns.match(event).length > 0) return this.#lanes.push(delivery);
    this.request.unhandled(event, delivery.raw.place);
    // Not within the call that handed it over: the queue would hand over the next inside this one.
    queueMicrotask(() => delivery.acknowledge());
  }

  #delivery(subscription: Subscription, event: StoredEvent, settle: (giveBack: boolean) => void): Delivery {
    const end = (giveBack: boolean): void => {
      // Once: what outlives its consumer has been given back, and may run elsewhere by now.
      if (this.#unsettled.delete(release)) settle(giveBack);
    };
    const release = (): void => end(true);
    this.#unsettled.add(release);
    return {
      subscription,
      content: toContent(event, this.environment),
      raw: toRaw(event, this.environment.transport),
      redelivered: event.deliveries > 1,
      lost: this.#lost.signal,
      acknowledge: () => end(false),
      release,
    };
  }
}

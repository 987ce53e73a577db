import type { Delivery } from '../../core/delivery.js';
import { HandlerLanes } from '../../core/handler-lanes.js';
import { consumerName, type Subscription } from '../../core/subscription.js';
import type { ConsumeRequest, TransportConsumer, TransportEnvironment } from '../../core/transport.js';
import { Window } from '../../core/window.js';
import type { MemoryBroker, MemoryQueue, QueueMember, StoredEvent } from './memory.broker.js';
import { toContent, toRaw } from './memory.mapper.js';

/** One group's handlers, each a member of its own queue. */
export class MemoryConsumer implements TransportConsumer {
  readonly #lanes: HandlerLanes;
  readonly #members: { readonly queue: MemoryQueue; readonly member: QueueMember }[] = [];
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
      clock: environment.clock,
      logger: environment.logger,
    });
  }

  start(): void {
    for (const subscription of this.request.subscriptions) this.#join(subscription);
  }

  async stop(): Promise<void> {
    for (const { queue, member } of this.#members) queue.leave(member);
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
    const queue = this.broker.declare(consumerName(subscription), subscription.patterns);
    const window = new Window<number>(this.environment.window);
    const member: QueueMember = {
      hasRoom: () => !window.full,
      take: (event) => {
        const entry = window.enter(event.position, event.body?.byteLength ?? 0);
        this.#lanes.push(
          this.#delivery(subscription, event, (giveBack) => {
            window.settle(entry);
            if (giveBack) queue.giveBack(event);
            else queue.settled(event);
          }),
        );
      },
    };
    this.#members.push({ queue, member });
    queue.join(member);
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

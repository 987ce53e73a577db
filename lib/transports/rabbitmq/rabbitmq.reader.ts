import { setMaxListeners } from 'node:events';
import type { Channel, ConsumeMessage } from 'amqplib';
import { within } from '../../core/clock.js';
import type { Delivery, Place } from '../../core/delivery.js';
import { EventsError } from '../../core/errors.js';
import { PatternTrie } from '../../core/event-name.js';
import { IntakeWatch } from '../../core/intake-watch.js';
import type { Subscription } from '../../core/subscription.js';
import type { TransportEnvironment } from '../../core/transport.js';
import { Acknowledger } from './rabbitmq.acknowledger.js';
import { HealingChannel, whenReturned, withChannel } from './rabbitmq.channel.js';
import type { HealingConnection } from './rabbitmq.connection.js';
import { brokerText } from './rabbitmq.errors.js';
import { toDelivery, toPlace } from './rabbitmq.mapper.js';
import { defaultPrefetch, type RabbitmqSettings } from './rabbitmq.options.js';
import { declareQueue, queueTopology, retireQueue, type QueueTopology } from './rabbitmq.topology.js';

const REPLY_TIMEOUT_MS = 5_000;

export interface QueueReaderOptions {
  readonly connection: HealingConnection;
  readonly settings: RabbitmqSettings;
  readonly environment: TransportEnvironment;
  readonly subscription: Subscription;
  /** A queue of a former id of the handler, to be emptied beside its own. Default: the handler's own. */
  readonly former?: string | undefined;
  readonly deliver: (delivery: Delivery) => void;
  readonly unhandled: (event: string, place: Place) => void;
}

/** What belongs to one channel and ends with it. */
interface Session {
  readonly channel: Channel;
  readonly acknowledger: Acknowledger;
  readonly lost: AbortController;
}

/**
 * Reads one handler's queue, on a channel of its own, and comes back after everything that can happen to either. While the
 * handler's breaker is open it holds at most a prefetch, and other instances get the rest. n.b. the subscription is not
 * cancelled meanwhile: what a quorum queue was just sending goes behind the rest then, and counts as a return.
 */
export class QueueReader {
  readonly #topology: QueueTopology;
  readonly #prefetch: number;
  readonly #patterns = new PatternTrie<true>();
  readonly #healing: HealingChannel<Channel>;
  readonly #watch: IntakeWatch;
  #first: { readonly resolve: () => void; readonly reject: (error: unknown) => void } | undefined;
  #session: Session | undefined;
  #stopping = false;

  /** Throws EVENTS_OPTIONS_INVALID and EVENTS_HANDLER_INVALID; starts nothing. */
  constructor(private readonly options: QueueReaderOptions) {
    const { subscription, settings, connection, environment } = options;
    this.#topology = queueTopology(subscription, settings);
    this.#prefetch = this.#topology.settings.prefetch ?? defaultPrefetch(subscription);
    for (const pattern of subscription.patterns) this.#patterns.add(pattern, true);
    const { clock, report } = environment;
    this.#watch = new IntakeWatch({
      ...{ clock, report },
      about: { transport: settings.name, group: subscription.group, place: this.queue },
      isFull: () => (this.#session?.acknowledger.pending ?? 0) >= this.#prefetch,
    });
    this.#healing = new HealingChannel({
      connection,
      clock: environment.clock,
      open: (model) => model.createChannel(),
      setup: (channel) => this.#setUp(channel),
      lost: (channel) => this.#lost(channel),
      failed: (error) => this.#failed(error),
    });
  }

  get queue(): string {
    return this.options.former ?? this.#topology.queue;
  }

  /** Resolves when the queue is bound and read; throws when the broker refuses it. */
  start(): Promise<void> {
    const reading = new Promise<void>((resolve, reject) => (this.#first = { resolve, reject }));
    this.#healing.start();
    return reading;
  }

  /**
   * What arrives from now on is held, at most a prefetch of it, and returns to the head of the queue when the channel
   * closes, with all that has not been settled and in its order. n.b. the subscription is not cancelled: a quorum queue
   * takes back what it was just sending before the rest, and the next single active consumer would overtake what runs here.
   */
  stop(): void {
    this.#stopping = true;
    this.#watch.close();
    this.#healing.retire();
  }

  /** Resolves when the broker has taken in all outcomes so far. */
  async flush(): Promise<void> {
    const session = this.#session;
    if (session === undefined) return;
    session.acknowledger.flush();
    // The broker answers in order: any reply on this channel comes after the outcomes before it were read.
    await this.#answered(session.channel.prefetch(this.#prefetch));
  }

  /** Leaves the queue. Call it after {@link stop} and {@link flush}. */
  async close(): Promise<void> {
    this.stop();
    const ready = await this.#readyAfterwards();
    await this.#healing.close();
    const { connection, environment } = this.options;
    if (ready === undefined || connection.model === undefined) return;
    const { clock } = environment;
    await this.#answered(
      withChannel(connection.model, clock, (channel) => whenReturned(channel, { queue: this.queue, ready, clock })),
    );
  }

  /** How many messages the queue has when it has back what is held here; `undefined` when that cannot be told. */
  async #readyAfterwards(): Promise<number | undefined> {
    if (this.#session === undefined || this.#session.acknowledger.pending === 0) return undefined;
    // The next single active consumer starts when all has returned.
    if (this.#topology.settings.singleActiveConsumer) return undefined;
    const { channel, acknowledger } = this.#session;
    const counted = await this.#answered(channel.checkQueue(this.queue));
    // With other instances, they take what returns.
    if (counted === undefined || counted.consumerCount > 1) return undefined;
    return counted.messageCount + acknowledger.pending;
  }

  async #setUp(channel: Channel): Promise<void> {
    await this.#declare(channel);
    await channel.prefetch(this.#prefetch);
    const acknowledger = new Acknowledger(channel, () => this.options.connection.gather());
    const session: Session = { channel, acknowledger, lost: new AbortController() };
    // Every delivery in flight listens to the one signal.
    setMaxListeners(0, session.lost.signal);
    this.#session = session;
    await this.#subscribe(session);
    this.#first?.resolve();
  }

  async #declare(channel: Channel): Promise<void> {
    await declareQueue(channel, this.#topology);
    if (this.options.former !== undefined) await retireQueue(channel, this.options.former, this.#topology);
  }

  async #subscribe(session: Session): Promise<void> {
    await session.channel.consume(this.queue, (message) => {
      if (message === null) void this.#cancelled(session);
      else this.#received(session, message);
    });
  }

  #received(session: Session, message: ConsumeMessage): void {
    const { environment, subscription, deliver, unhandled, settings } = this.options;
    const { acknowledger, lost } = session;
    const tag = acknowledger.received(message.fields.deliveryTag);
    this.#watch.taken();
    const delivery = toDelivery(message, {
      subscription,
      transport: settings.name,
      reading: environment,
      lost: lost.signal,
      acknowledge: () => {
        acknowledger.acknowledge(tag);
        this.#watch.settled();
      },
      // n.b. from 3.10 on a quorum queue puts what is given back by `nack` behind everything else: at the end we do not
      release: () => (this.#stopping ? undefined : acknowledger.release(tag)),
    });
    const event = 'envelope' in delivery.content ? delivery.content.envelope.name : undefined;
    if (event === undefined || this.#patterns.match(event).length > 0) return deliver(delivery);
    // A binding that an older version of the code left behind.
    unhandled(event, toPlace(message, settings.name));
    delivery.acknowledge();
  }

  /** The broker ends a subscription when its queue is deleted or moves. Tags stay valid: the channel is still the same. */
  async #cancelled(session: Session): Promise<void> {
    if (this.#stopping) return;
    this.options.environment.logger.warn(`${this.queue}: RabbitMQ cancelled the subscription; subscribing again`);
    try {
      await this.#declare(session.channel);
      await this.#subscribe(session);
    } catch (error) {
      this.#failed(error);
      // With the channel closed it is healed like any other.
      await session.channel.close().catch(() => undefined);
    }
  }

  #lost(channel: Channel): void {
    if (this.#session?.channel !== channel) return;
    const { acknowledger, lost } = this.#session;
    this.#session = undefined;
    acknowledger.lost();
    lost.abort();
    this.#watch.settled();
  }

  #failed(error: unknown): void {
    if (error instanceof EventsError) this.#first?.reject(error);
    if (!this.#stopping) {
      this.options.environment.logger.warn(`${this.queue}: cannot be read, trying again: ${brokerText(error)}`);
    }
  }

  /** A channel that is lost does not answer, nor does a queue without a leader: then there is nothing to wait for. */
  async #answered<T>(reply: Promise<T>): Promise<T | undefined> {
    let answer: T | undefined;
    const answered = reply.then((value) => (answer = value)).catch(() => undefined);
    await within(this.options.environment.clock, REPLY_TIMEOUT_MS, answered);
    return answer;
  }
}

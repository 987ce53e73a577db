import { randomBytes } from 'node:crypto';
import { connect, type Channel, type ChannelModel } from 'amqplib';
import type { Activity } from '../../lib/core/activity.js';
import { systemClock } from '../../lib/core/clock.js';
import { envelopeOf, type Delivery } from '../../lib/core/delivery.js';
import { createEnvelope, type Envelope, type EnvelopeInit } from '../../lib/core/envelope.js';
import type { Slot } from '../../lib/core/lanes.js';
import { UNLIMITED } from '../../lib/core/limit.js';
import { jsonSerializer } from '../../lib/core/serializer.js';
import type { Subscription } from '../../lib/core/subscription.js';
import type { Transport, TransportConsumer, TransportEnvironment } from '../../lib/core/transport.js';
import { rabbitmq, type RabbitmqOptions } from '../../lib/rabbitmq.js';
import { TcpProxy } from '../support/tcp-proxy.js';

export interface Consuming {
  readonly consumer: TransportConsumer;
  /** Envelopes in the order in which they were handed over. */
  readonly handled: Envelope[];
  readonly deliveries: Delivery[];
  readonly unhandled: string[];
}

/** One test's exchange, queues, transports and proxies; {@link close} ends and deletes them all. */
export class RabbitmqWorld {
  readonly exchange = `test-${randomBytes(6).toString('hex')}`;
  readonly group = this.exchange;
  readonly activities: Activity[] = [];
  readonly log: string[] = [];
  readonly #closing: (() => Promise<unknown>)[] = [];
  readonly #queues = new Set<string>();
  #admin: { model: ChannelModel; channel: Channel } | undefined;

  static url(): string {
    const url = process.env['RABBITMQ_URL'];
    if (url === undefined) throw new Error('RABBITMQ_URL is not set: start the servers with "npm run brokers -- up"');
    return url;
  }

  environment(overrides: Partial<TransportEnvironment> = {}): TransportEnvironment {
    const write = (text: string): unknown => this.log.push(text);
    return {
      service: 'test',
      clock: systemClock,
      logger: { debug: write, log: write, warn: write, error: write },
      serializer: jsonSerializer,
      report: (activity) => this.activities.push(activity),
      publishTimeoutMs: 20_000,
      maxPayloadBytes: 1_000_000,
      window: { maxDeliveries: 1_000, maxBytes: 16 * 1_024 * 1_024 },
      production: false,
      ...overrides,
    };
  }

  /** A transport that is not connected yet. */
  create(options: Partial<RabbitmqOptions> = {}, environment: Partial<TransportEnvironment> = {}): Transport {
    const url = options.urls === undefined ? { url: RabbitmqWorld.url() } : {};
    const definition = rabbitmq({ exchange: this.exchange, ...url, ...options });
    const transport = definition.create(this.environment(environment));
    this.#closing.unshift(() => transport.close());
    return transport;
  }

  async connected(...args: Parameters<RabbitmqWorld['create']>): Promise<Transport> {
    const transport = this.create(...args);
    await transport.connect();
    return transport;
  }

  subscription(handler: string, overrides: Partial<Subscription> = {}): Subscription {
    return {
      handler,
      aliases: [],
      group: this.group,
      patterns: ['orders.#'],
      concurrency: 10,
      ordering: 'key',
      afterDeadLetter: 'continue',
      idempotent: true,
      transportOptions: {},
      ...overrides,
    };
  }

  queue(handler: string): string {
    return `${this.group}.${handler}`;
  }

  /** Runs `handle` for each delivery and acknowledges afterwards. */
  async consume(
    transport: Transport,
    subscriptions: readonly Subscription[],
    handle: (delivery: Delivery, slot: Slot) => Promise<unknown> = async () => undefined,
  ): Promise<Consuming> {
    const consuming: Omit<Consuming, 'consumer'> = { handled: [], deliveries: [], unhandled: [] };
    for (const { handler } of subscriptions) this.deletes(this.queue(handler));
    const consumer = await transport.consume({
      group: this.group,
      subscriptions,
      process: async (delivery, slot) => {
        const envelope = envelopeOf(delivery);
        consuming.deliveries.push(delivery);
        if (envelope !== undefined) consuming.handled.push(envelope);
        if ((await handle(delivery, slot)) !== LEFT_OPEN) delivery.acknowledge();
      },
      limitOf: () => UNLIMITED,
      processBatch: async (deliveries) => deliveries,
      unhandled: (event) => consuming.unhandled.push(event),
    });
    this.#closing.unshift(() => consumer.close());
    return { ...consuming, consumer };
  }

  async proxy(): Promise<TcpProxy> {
    const { hostname, port } = new URL(RabbitmqWorld.url());
    const proxy = await TcpProxy.start({ host: hostname, port: Number(port) });
    this.#closing.push(() => proxy.close());
    return proxy;
  }

  through(proxy: TcpProxy): string {
    const url = new URL(RabbitmqWorld.url());
    url.host = `127.0.0.1:${proxy.port}`;
    return url.href;
  }

  /** A channel of amqplib's own, to look at and to disturb what the transport does. */
  async admin(): Promise<Channel> {
    if (this.#admin === undefined) {
      const model = await connect(RabbitmqWorld.url());
      model.on('error', () => undefined);
      const channel = await model.createChannel();
      channel.on('error', () => undefined);
      this.#admin = { model, channel };
    }
    return this.#admin.channel;
  }

  /** Messages of a queue that are not handed out. */
  async depth(queue: string): Promise<number> {
    return (await (await this.admin()).checkQueue(queue)).messageCount;
  }

  /** n.b. asking for a queue that is not there closes the channel */
  async exists(queue: string): Promise<boolean> {
    await this.admin();
    const channel = await (this.#admin as { model: ChannelModel }).model.createChannel();
    channel.on('error', () => undefined);
    return channel.checkQueue(queue).then(
      () => channel.close().then(() => true),
      () => false,
    );
  }

  deletes(queue: string): void {
    this.#queues.add(queue);
    this.#queues.add(`${queue}.dlq`);
  }

  async close(): Promise<void> {
    for (const close of this.#closing.splice(0)) await close();
    const channel = await this.admin();
    for (const queue of this.#queues) await channel.deleteQueue(queue);
    for (const exchange of [this.exchange, `${this.exchange}.dlx`]) await channel.deleteExchange(exchange);
    await this.#admin?.model.close();
  }
}

/** Returned by a handler that settles its delivery itself, or not at all. */
export const LEFT_OPEN = Symbol('left open');

export function event(data: unknown = {}, init: Partial<EnvelopeInit<unknown>> = {}): Envelope {
  return createEnvelope({ name: 'orders.order.placed', source: 'test', data, ...init });
}

/** Waits for a condition with a deadline; `describe` is printed when it passes. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  describe: () => unknown = () => String(condition),
  deadlineMs = 20_000,
): Promise<void> {
  const deadline = Date.now() + deadlineMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${deadlineMs} ms: ${JSON.stringify(describe())}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

import type { DeadLetter } from '../../core/dead-letter.js';
import type { Delivery, RawEvent } from '../../core/delivery.js';
import type { Envelope } from '../../core/envelope.js';
import { assertPayloadSize } from '../../core/payload-size.js';
import type { Subscription } from '../../core/subscription.js';
import type {
  CollectDeadLetters,
  ConsumeRequest,
  DeadLetterCollection,
  DeadLetterQuery,
  TakeDeadLetters,
  Transport,
  TransportCapabilities,
  TransportConsumer,
  TransportDefinition,
  TransportEnvironment,
  TransportRetention,
} from '../../core/transport.js';
import { HealingConnection } from './rabbitmq.connection.js';
import { RabbitmqConsumer } from './rabbitmq.consumer.js';
import { declareQueues } from './rabbitmq.declare.js';
import { DeadLetters } from './rabbitmq.dead-letters.js';
import { transportClosed } from './rabbitmq.errors.js';
import { decodeRaw, toMessage } from './rabbitmq.mapper.js';
import { transportSettings, type RabbitmqOptions, type RabbitmqSettings } from './rabbitmq.options.js';
import { Publisher } from './rabbitmq.publisher.js';
import { declareDeadLetterExchange, declareExchange, queueTopology } from './rabbitmq.topology.js';

/** Names that were warned about are remembered up to here, so that generated names do not fill the memory. */
const MAX_WARNED = 1_000;

/**
 * Events over RabbitMQ 3.10 or newer: a durable topic exchange, and a quorum queue for each handler that the
 * instances of its group share. Throws EVENTS_OPTIONS_INVALID; nothing is started.
 */
export function rabbitmq(options: RabbitmqOptions): TransportDefinition {
  const settings = transportSettings(options);
  return {
    kind: 'rabbitmq',
    name: settings.name,
    create: (environment) => new RabbitmqTransport(settings, environment),
  };
}

class RabbitmqTransport implements Transport {
  readonly kind = 'rabbitmq';
  readonly name: string;
  readonly capabilities: TransportCapabilities;
  /** n.b. two connections: the broker stops reading from one that publishes too much, and acknowledgements with it. */
  readonly #publishing: HealingConnection;
  readonly #consuming: HealingConnection;
  readonly #events: Publisher;
  /** Dead letters have a channel of their own: no queue of publishes is before them. */
  readonly #deadLetterPublisher: Publisher;
  readonly #deadLetters: DeadLetters;
  readonly #unroutable = new Set<string>();
  #connected = false;
  #started: Promise<void> | undefined;
  #closed = false;

  constructor(
    private readonly settings: RabbitmqSettings,
    private readonly environment: TransportEnvironment,
  ) {
    const { exchange } = settings;
    this.name = settings.name;
    this.capabilities = { durable: true, orderAcrossInstances: settings.queue.singleActiveConsumer };
    this.#publishing = this.#connection('publishing');
    this.#consuming = this.#connection('consuming');
    const publisher = { transport: this.name, connection: this.#publishing, ...environment };
    this.#events = new Publisher({ ...publisher, declare: (channel) => declareExchange(channel, exchange) });
    this.#deadLetterPublisher = new Publisher({
      ...publisher,
      declare: (channel) => declareDeadLetterExchange(channel, exchange),
    });
    this.#deadLetters = new DeadLetters({
      transport: this.name,
      exchange,
      publisher: this.#deadLetterPublisher,
      connection: this.#consuming,
      environment,
    });
  }

  connect(): Promise<void> {
    this.#started ??= this.#start();
    return this.#started;
  }

  async publish(envelope: Envelope): Promise<void> {
    const { exchange } = this.settings;
    const { serializer, maxPayloadBytes } = this.environment;
    const message = toMessage(envelope, serializer);
    assertPayloadSize(message.body, maxPayloadBytes, envelope.name);
    const outgoing = { ...message, exchange, routingKey: envelope.name, event: envelope.name };
    if ((await this.#events.publish(outgoing)) === 'unroutable') this.#reportUnroutable(envelope);
  }

  /** Throws for queues that are refused, after the others were declared. */
  async declare(subscriptions: readonly Subscription[]): Promise<void> {
    if (this.#closed) throw transportClosed(this.name);
    const topologies = subscriptions.map((subscription) => queueTopology(subscription, this.settings));
    const { clock } = this.environment;
    const { connectTimeoutMs } = this.settings;
    await this.#consuming.connect();
    await declareQueues(topologies, { connection: this.#consuming, clock, timeoutMs: connectTimeoutMs });
  }

  async consume(request: ConsumeRequest): Promise<TransportConsumer> {
    if (this.#closed) throw transportClosed(this.name);
    const { settings, environment } = this;
    const consumer = new RabbitmqConsumer({ connection: this.#consuming, settings, environment, request });
    await this.#consuming.connect();
    await consumer.start();
    return consumer;
  }

  writeDeadLetter(letter: DeadLetter): Promise<void> {
    return this.#deadLetters.write(letter);
  }

  readDeadLetters(query: DeadLetterQuery): Promise<DeadLetter[]> {
    return this.#deadLetters.read(query);
  }

  takeDeadLetters(request: TakeDeadLetters): Promise<void> {
    return this.#deadLetters.take(request);
  }

  async collectDeadLetters(request: CollectDeadLetters): Promise<DeadLetterCollection> {
    if (this.#closed) throw transportClosed(this.name);
    return this.#deadLetters.collect(request);
  }

  decode(raw: RawEvent): Delivery['content'] {
    return decodeRaw(raw, this.environment);
  }

  /** n.b. of new queues: AMQP does not tell what an existing one was declared with */
  async retention(subscriptions: readonly Subscription[]): Promise<TransportRetention | undefined> {
    const kept = subscriptions.map((subscription) => queueTopology(subscription, this.settings));
    const ttls = kept.map(({ queue, settings }) => ({ ms: settings.queueTtlMs, where: `the queue "${queue}"` }));
    const [longest] = ttls.sort((a, b) => b.ms - a.ms);
    return longest && { ...longest, setting: 'queueTtlMs' };
  }

  isConnected(): boolean {
    return this.#publishing.connected && (this.#consuming.connected || !this.#consuming.started);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#events.close(), this.#deadLetterPublisher.close()]);
    await Promise.all([this.#publishing.close(), this.#consuming.close()]);
  }

  async #start(): Promise<void> {
    if (this.#closed) throw transportClosed(this.name);
    try {
      await this.#publishing.connect();
      await Promise.all([this.#events.start(), this.#deadLetterPublisher.start()]);
    } catch (error) {
      this.#started = undefined;
      throw error;
    }
  }

  #connection(purpose: string): HealingConnection {
    const { settings, environment } = this;
    const label = `${environment.service}:${settings.name}:${purpose}`;
    return new HealingConnection({
      ...environment,
      label,
      settings,
      changed: (error) => this.#reportConnection(error),
    });
  }

  /** n.b. what came of both connections: connected is only who can publish and consume */
  #reportConnection(error: unknown): void {
    const connected = this.isConnected();
    if (connected === this.#connected) return;
    this.#connected = connected;
    if (connected) this.environment.report({ type: 'transport-connected', transport: this.name });
    else this.environment.report({ type: 'transport-disconnected', transport: this.name, error });
  }

  #reportUnroutable({ name: event, id }: Envelope): void {
    this.environment.report({ type: 'unroutable', event, id, transport: this.name });
    if (this.#unroutable.has(event) || this.#unroutable.size >= MAX_WARNED) return;
    this.#unroutable.add(event);
    this.environment.logger.warn(
      `"${event}" is published to the exchange "${this.settings.exchange}", and no queue is bound for it: it is lost. ` +
        'Start its consumers once before its publishers, so that their queues exist.',
    );
  }
}

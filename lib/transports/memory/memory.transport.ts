import type { DeadLetter } from '../../core/dead-letter.js';
import type { Delivery, RawEvent } from '../../core/delivery.js';
import type { Envelope } from '../../core/envelope.js';
import { EventsError } from '../../core/errors.js';
import { assertPayloadSize } from '../../core/payload-size.js';
import { consumerName, type Subscription } from '../../core/subscription.js';
import type {
  CollectDeadLetters,
  ConsumeRequest,
  DeadLetterCollection,
  DeadLetterQuery,
  TakeDeadLetters,
  Transport,
  TransportConsumer,
  TransportDefinition,
  TransportEnvironment,
} from '../../core/transport.js';
import { MemoryBroker } from './memory.broker.js';
import { MemoryConsumer } from './memory.consumer.js';
import { collectAll } from './memory.dead-letters.js';
import { toContent, toStored } from './memory.mapper.js';

export interface MemoryOptions {
  /** Tells two transports of a kind apart. Default `memory`. */
  readonly name?: string;
  /** Transports that share a broker see each other's events. Default: one of its own for each application. */
  readonly broker?: MemoryBroker;
  /** Start although NODE_ENV is `production`: what it holds is lost with the process. Default false. */
  readonly allowMemory?: boolean;
}

/** The embedded default: everything works, nothing survives the process. */
export function memory(options: MemoryOptions = {}): TransportDefinition {
  const name = options.name ?? 'memory';
  return { kind: 'memory', name, create: (environment) => new MemoryTransport(name, options, environment) };
}

class MemoryTransport implements Transport {
  readonly kind = 'memory';
  readonly capabilities = { durable: false, orderAcrossInstances: true };
  readonly #broker: MemoryBroker;
  #connected = false;

  constructor(
    readonly name: string,
    private readonly options: MemoryOptions,
    private readonly environment: TransportEnvironment,
  ) {
    this.#broker = options.broker ?? new MemoryBroker();
  }

  async connect(): Promise<void> {
    if (this.environment.production && this.options.allowMemory !== true) {
      throw new EventsError('EVENTS_MEMORY_IN_PRODUCTION', `the transport "${this.name}" keeps events in memory only`, {
        remedy:
          'Use kafka() or rabbitmq() in production, or memory({ allowMemory: true }) where losing events is fine.',
      });
    }
    this.#connected = true;
    this.environment.report({ type: 'transport-connected', transport: this.name });
  }

  async publish(envelope: Envelope): Promise<void> {
    if (!this.#connected) {
      throw new EventsError('EVENTS_TRANSPORT_CLOSED', `the transport "${this.name}" is closed`, {
        event: envelope.name,
        remedy: 'Publish before onApplicationShutdown.',
      });
    }
    const stored = toStored(envelope, this.environment.serializer);
    assertPayloadSize(stored.body, this.environment.maxPayloadBytes, envelope.name);
    if (!this.#broker.publish(stored)) {
      const { id, name: event } = envelope;
      this.environment.report({ type: 'unroutable', event, id, transport: this.name });
    }
  }

  async declare(subscriptions: readonly Subscription[]): Promise<void> {
    for (const each of subscriptions) this.#broker.declare(consumerName(each), each.patterns);
  }

  async consume(request: ConsumeRequest): Promise<TransportConsumer> {
    const consumer = new MemoryConsumer(this.#broker, { ...this.environment, transport: this.name }, request);
    consumer.start();
    this.environment.report({ type: 'consumer-started', transport: this.name, group: request.group });
    return consumer;
  }

  async writeDeadLetter(letter: DeadLetter): Promise<void> {
    this.#broker.deadLettersOf(consumerName(letter)).add(letter);
  }

  async readDeadLetters(query: DeadLetterQuery): Promise<DeadLetter[]> {
    return this.#broker
      .deadLettersOf(consumerName(query))
      .all()
      .slice(0, query.limit ?? 1_000);
  }

  takeDeadLetters(request: TakeDeadLetters): Promise<void> {
    return this.#broker.deadLettersOf(consumerName(request)).take(request);
  }

  async collectDeadLetters(request: CollectDeadLetters): Promise<DeadLetterCollection> {
    const { group, handlers } = request;
    const places = handlers.map((handler) => this.#broker.deadLettersOf(consumerName({ group, handler })));
    return collectAll(places, request, this.environment);
  }

  decode(raw: RawEvent): Delivery['content'] {
    return toContent(raw, this.environment);
  }

  isConnected(): boolean {
    return this.#connected;
  }

  async close(): Promise<void> {
    this.#connected = false;
  }
}

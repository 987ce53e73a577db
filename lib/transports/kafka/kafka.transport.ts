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
  TransportConsumer,
  TransportDefinition,
  TransportEnvironment,
  TransportRetention,
} from '../../core/transport.js';
import type { KafkaClient } from './kafka.client.js';
import { KafkaCollection } from './kafka.collection.js';
import { KafkaConnection } from './kafka.connection.js';
import { KafkaConsumer } from './kafka.consumer.js';
import { readDeadLetters, takeDeadLetters, writeDeadLetter } from './kafka.dead-letters.js';
import { closed } from './kafka.errors.js';
import { decodeRaw, toRecord } from './kafka.mapper.js';
import { resolveOptions, type KafkaOptions, type ResolvedKafkaOptions } from './kafka.options.js';
import { KafkaProducer } from './kafka.producer.js';
import { KafkaTopics } from './kafka.topics.js';
import { KafkaTopology } from './kafka.topology.js';
import { KafkajsClient } from './kafkajs.client.js';

/** Apache Kafka. Options are checked here, nothing is started. Throws EVENTS_OPTIONS_INVALID. */
export function kafka(options: KafkaOptions): TransportDefinition {
  const resolved = resolveOptions(options);
  return {
    kind: 'kafka',
    name: resolved.name,
    create: (environment) => new KafkaTransport(resolved, environment),
  };
}

/** What there is once connected. */
interface Connected {
  readonly client: KafkaClient;
  readonly connection: KafkaConnection;
  readonly topology: KafkaTopology;
  readonly producer: KafkaProducer;
  readonly deadLetters: DeadLetterProducer;
}

/**
 * Dead letters have a producer and a connection of their own, opened with the first: a topic that refuses them neither
 * holds up what is published nor has it written twice.
 */
interface DeadLetterProducer {
  readonly connection: KafkaConnection;
  readonly producer: KafkaProducer;
}

class KafkaTransport implements Transport {
  readonly kind = 'kafka';
  readonly name: string;
  readonly capabilities = { durable: true, orderAcrossInstances: true };
  readonly #topics: KafkaTopics;
  #connected: Connected | undefined;

  constructor(
    private readonly options: ResolvedKafkaOptions,
    private readonly environment: TransportEnvironment,
  ) {
    this.name = options.name;
    this.#topics = new KafkaTopics(options.topic);
  }

  async connect(): Promise<void> {
    if (this.#connected !== undefined) return;
    const { options, environment } = this;
    const { clock, logger, report } = environment;
    const client = await KafkajsClient.load(options, environment);
    const shared = { name: this.name, brokers: options.brokers, client, clock, logger };
    const connection = new KafkaConnection({ ...shared, report });
    try {
      await connection.open(options.connectTimeoutMs);
    } catch (error) {
      await connection.close();
      throw error;
    }
    const { maxPayloadBytes, publishTimeoutMs } = environment;
    const topology = new KafkaTopology({ client, clock, topics: this.#topics, options, logger, maxPayloadBytes });
    const tools = {
      clock,
      publishTimeoutMs,
      prepare: (topic: string) => topology.ensure([topic]),
      isPrepared: (topic: string) => topology.isKnown(topic),
      forget: (topic: string) => topology.forget(topic),
    };
    const producer = new KafkaProducer({ ...tools, connection });
    // Whether the transport is connected is told by the other one.
    const forDeadLetters = new KafkaConnection({ ...shared, report: () => undefined });
    const deadLetters = {
      connection: forDeadLetters,
      producer: new KafkaProducer({ ...tools, connection: forDeadLetters }),
    };
    this.#connected = { client, connection, topology, producer, deadLetters };
  }

  async publish(envelope: Envelope): Promise<void> {
    const { producer } = this.#needConnection(envelope.name);
    const record = toRecord(envelope, this.#topics.of(envelope.name), this.environment.serializer);
    assertPayloadSize(record.value, this.environment.maxPayloadBytes, envelope.name);
    await producer.send(record, envelope.name);
  }

  async declare(subscriptions: readonly Subscription[]): Promise<void> {
    const { topology } = this.#needConnection();
    for (const [group, patterns] of patternsByGroup(subscriptions)) {
      const topics = await topology.topicsFor(patterns);
      await topology.ensureDeadLetters(group);
      if (!this.options.fromBeginning) await topology.startAtEnd(group, topics);
    }
  }

  async consume(request: ConsumeRequest): Promise<TransportConsumer> {
    const { client, topology } = this.#needConnection();
    await this.declare(request.subscriptions);
    const { environment, options } = this;
    const consumer = new KafkaConsumer({ client, topology, environment, options, request, topics: this.#topics });
    await consumer.start();
    environment.report({ type: 'consumer-started', transport: this.name, group: request.group });
    return consumer;
  }

  async writeDeadLetter(letter: DeadLetter): Promise<void> {
    const { producer } = this.#needConnection(letter.event).deadLetters;
    const { deadLetterBody: body, maxPayloadBytes } = this.environment;
    await writeDeadLetter(letter, { producer, form: { body, maxBytes: maxPayloadBytes * 2 } });
  }

  async readDeadLetters(query: DeadLetterQuery): Promise<DeadLetter[]> {
    const { client } = this.#needConnection();
    return readDeadLetters(query, { client, clock: this.environment.clock });
  }

  async takeDeadLetters(request: TakeDeadLetters): Promise<void> {
    const { client, deadLetters } = this.#needConnection();
    await takeDeadLetters(request, { client, producer: deadLetters.producer, clock: this.environment.clock });
  }

  async collectDeadLetters(request: CollectDeadLetters): Promise<DeadLetterCollection> {
    const { client, topology } = this.#needConnection();
    await topology.ensureDeadLetters(request.group);
    const collection = new KafkaCollection({ client, request, environment: this.environment });
    collection.start();
    return collection;
  }

  decode(raw: RawEvent): Delivery['content'] {
    return decodeRaw(raw, this.environment);
  }

  async retention(subscriptions: readonly Subscription[]): Promise<TransportRetention | undefined> {
    const { client, topology } = this.#needConnection();
    const topics = await topology.topicsFor(subscriptions.flatMap(({ patterns }) => patterns));
    if (topics.length === 0) return undefined;
    const kept = [...(await client.withAdmin((admin) => admin.retention(topics)))];
    const [topic, ms] = kept.reduce((longest, each) => (each[1] > longest[1] ? each : longest));
    return { ms, where: `the topic "${topic}"`, setting: 'retention.ms' };
  }

  isConnected(): boolean {
    return this.#connected?.connection.isUp ?? false;
  }

  async close(): Promise<void> {
    const connected = this.#connected;
    this.#connected = undefined;
    if (connected === undefined) return;
    const both = [connected, connected.deadLetters];
    await Promise.all(both.map(({ producer }) => producer.flush()));
    await Promise.all(both.map(({ connection }) => connection.close()));
  }

  #needConnection(event?: string): Connected {
    if (this.#connected === undefined) throw closed(this.name, event);
    return this.#connected;
  }
}

function patternsByGroup(subscriptions: readonly Subscription[]): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const { group, patterns } of subscriptions) groups.set(group, [...(groups.get(group) ?? []), ...patterns]);
  return groups;
}

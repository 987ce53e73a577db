import { Kafka, logLevel, type Admin, type Message } from 'kafkajs';
import { envelopeOf, type Delivery } from '../../lib/core/delivery.js';
import type { Envelope } from '../../lib/core/envelope.js';
import type { Slot } from '../../lib/core/lanes.js';
import { UNLIMITED } from '../../lib/core/limit.js';
import type { Subscription } from '../../lib/core/subscription.js';
import type { TransportConsumer, TransportEnvironment } from '../../lib/core/transport.js';
import { kafka, type KafkaOptions } from '../../lib/kafka.js';
import { eventually } from '../support/eventually.js';
import { subscriptionOf } from '../support/test-consumer.js';
import { TransportWorld, type TestTransport } from '../support/transport-world.js';
import { uniqueWord } from '../support/unique.js';

export interface Handed {
  readonly consumer: TransportConsumer;
  /** Everything that was handed over, in that order. */
  readonly deliveries: Delivery[];
  readonly envelopes: Envelope[];
  readonly unhandled: string[];
}

export interface KafkaRecord {
  readonly partition: number;
  readonly offset: number;
  readonly key: string | undefined;
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, unknown>>;
}

/** One test's domain, groups and topics on a real Kafka, and raw kafkajs to look at them. */
export class KafkaWorld {
  /** The first word of the test's events, and so of its topics. */
  readonly domain = uniqueWord('kafka');
  readonly group = this.domain;
  readonly #world = new TransportWorld();
  readonly #raw: Kafka;
  readonly #consumers: TransportConsumer[] = [];

  constructor(readonly brokers: readonly string[]) {
    this.#raw = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING });
  }

  open(options: Partial<KafkaOptions> = {}, environment: Partial<TransportEnvironment> = {}): Promise<TestTransport> {
    const quick = { heartbeatIntervalMs: 300, sessionTimeoutMs: 6_000, discoveryIntervalMs: 300 };
    return this.#world.open(kafka({ brokers: this.brokers, ...quick, ...options }), environment);
  }

  subscription(handler: string, patterns: readonly string[], more: Partial<Subscription> = {}): Subscription {
    return { ...subscriptionOf({ id: handler, group: this.group, patterns }), ...more };
  }

  /** Hands deliveries to `handle`, which settles them itself if it returns {@link LEFT_OPEN}. */
  async consume(
    { transport }: TestTransport,
    subscriptions: readonly Subscription[],
    handle: (delivery: Delivery, slot: Slot) => Promise<unknown> = async () => undefined,
  ): Promise<Handed> {
    const handed: Omit<Handed, 'consumer'> = { deliveries: [], envelopes: [], unhandled: [] };
    const process = async (delivery: Delivery, slot: Slot): Promise<void> => {
      handed.deliveries.push(delivery);
      const envelope = envelopeOf(delivery);
      if (envelope !== undefined) handed.envelopes.push(envelope);
      if ((await handle(delivery, slot)) !== LEFT_OPEN) delivery.acknowledge();
    };
    const consumer = await transport.consume({
      group: this.group,
      subscriptions,
      process,
      limitOf: () => UNLIMITED,
      processBatch: async (deliveries, slot) => {
        await Promise.all(deliveries.map((delivery) => process(delivery, slot)));
        return [];
      },
      unhandled: (event) => handed.unhandled.push(event),
    });
    this.#consumers.push(consumer);
    return { ...handed, consumer };
  }

  async admin<T>(work: (admin: Admin) => Promise<T>): Promise<T> {
    const admin = this.#raw.admin();
    await admin.connect();
    try {
      return await work(admin);
    } finally {
      await admin.disconnect();
    }
  }

  async createTopic(topic: string, partitions = 3, config: Readonly<Record<string, string>> = {}): Promise<void> {
    const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
    await this.admin((admin) => admin.createTopics({ topics: [{ topic, numPartitions: partitions, configEntries }] }));
  }

  /** As a program would that knows nothing of this library. */
  async publishRaw(topic: string, messages: Message[]): Promise<void> {
    const producer = this.#raw.producer();
    await producer.connect();
    await eventually(() => producer.send({ topic, messages }));
    await producer.disconnect();
  }

  /** All records of a topic, per partition in the order of their offsets. */
  async records(topic: string): Promise<KafkaRecord[]> {
    const ends = await this.ends(topic);
    const records: KafkaRecord[] = [];
    const consumer = this.#raw.consumer({ groupId: uniqueWord('look'), maxWaitTimeInMs: 100 });
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      eachMessage: async ({ partition, message: { offset, key, value, headers } }) => {
        records.push({ partition, offset: Number(offset), key: key?.toString(), value, headers: headers ?? {} });
      },
    });
    const total = [...ends.values()].reduce((sum, end) => sum + end, 0);
    await eventually(() => records.length >= total, { what: `reading ${total} records of ${topic}` });
    await consumer.disconnect();
    return records.sort((a, b) => a.partition - b.partition || a.offset - b.offset);
  }

  /** Partition → next offset. */
  async ends(topic: string): Promise<Map<number, number>> {
    const offsets = await this.admin((admin) => admin.fetchTopicOffsets(topic));
    return new Map(offsets.map(({ partition, high }) => [partition, Number(high)]));
  }

  /** Partition → what the group has committed, where it has. */
  async committed(topic: string): Promise<Map<number, number>> {
    const [fetched] = await this.admin((admin) => admin.fetchOffsets({ groupId: this.group, topics: [topic] }));
    const partitions = fetched?.partitions ?? [];
    return new Map(
      partitions.filter(({ offset }) => Number(offset) >= 0).map((each) => [each.partition, Number(each.offset)]),
    );
  }

  async close(): Promise<void> {
    for (const consumer of this.#consumers) await consumer.close();
    await this.#world.close();
    await this.admin(async (admin) => {
      const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(this.domain));
      if (topics.length > 0) await admin.deleteTopics({ topics });
    });
  }
}

/** Returned by a handler that settles its delivery itself, or not at all. */
export const LEFT_OPEN = Symbol('left open');

export const numberOf = (envelope: { readonly data: unknown } | undefined): number =>
  (envelope?.data as { n: number }).n;

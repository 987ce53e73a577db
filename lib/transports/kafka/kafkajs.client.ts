import type * as KafkajsModule from 'kafkajs';
import type { CompressionTypes, Kafka, KafkaConfig, Producer, SASLOptions } from 'kafkajs';
import type { EventsLogger } from '../../core/logger.js';
import type {
  AdminClient,
  ConsumerClient,
  ConsumerClientOptions,
  KafkaClient,
  OutgoingRecord,
  ProducerClient,
} from './kafka.client.js';
import { packageMissing } from './kafka.errors.js';
import type { ResolvedKafkaOptions } from './kafka.options.js';
import { KafkajsAdmin } from './kafkajs.admin.js';
import { codecFor } from './kafkajs.codec.js';
import { KafkajsConsumer } from './kafkajs.consumer.js';
import { kafkajsLog } from './kafkajs.log.js';
import { KafkajsSockets } from './kafkajs.sockets.js';

export interface KafkajsEnvironment {
  readonly service: string;
  readonly logger: EventsLogger;
  readonly publishTimeoutMs: number;
}

type Kafkajs = (typeof KafkajsModule)['default'];

/** Short: whoever calls retries with a deadline of its own, and a kafkajs send that is given up must end soon. */
const RETRY = { initialRetryTime: 100, multiplier: 2, maxRetryTime: 1_000 };
const MIN_RETRIES = 3;
/**
 * A member goes on trying for about a third of a minute: a broker that restarts finds its members still there. One that
 * gives up comes back as another member, and the group waits for the session of the first to end.
 */
const CONSUMER_RETRY = { ...RETRY, retries: 22 };

/** kafkajs 2.2.4. It has no maintainer: this folder's `kafkajs.*` files are all that knows it. */
export class KafkajsClient implements KafkaClient {
  private constructor(
    private readonly loaded: { readonly kafkajs: Kafkajs; readonly compression: CompressionTypes },
    private readonly options: ResolvedKafkaOptions,
    private readonly environment: KafkajsEnvironment,
  ) {}

  /** Throws EVENTS_PACKAGE_MISSING. */
  static async load(options: ResolvedKafkaOptions, environment: KafkajsEnvironment): Promise<KafkajsClient> {
    let kafkajs: Kafkajs;
    try {
      kafkajs = (await import('kafkajs')).default;
    } catch (cause) {
      throw packageMissing('kafkajs', 'kafka() talks to brokers with it', cause);
    }
    const compression = await codecFor(options.compression, kafkajs);
    return new KafkajsClient({ kafkajs, compression }, options, environment);
  }

  producer(onConnectionLost: () => void): ProducerClient {
    const sockets = new KafkajsSockets(onConnectionLost);
    const requestTimeout = Math.min(30_000, Math.max(1_000, Math.ceil(this.environment.publishTimeoutMs / 3)));
    const producer = this.#kafka(sockets, { requestTimeout }).producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner: this.loaded.kafkajs.Partitioners.DefaultPartitioner,
      retry: { ...RETRY, retries: MIN_RETRIES },
    });
    return new KafkajsProducer(producer, sockets, { compression: this.loaded.compression, timeout: requestTimeout });
  }

  consumer(options: ConsumerClientOptions): ConsumerClient {
    const sockets = new KafkajsSockets();
    const consumer = this.#kafka(sockets, { retry: CONSUMER_RETRY }).consumer({
      groupId: options.group,
      sessionTimeout: this.options.sessionTimeoutMs,
      rebalanceTimeout: Math.max(60_000, this.options.sessionTimeoutMs),
      heartbeatInterval: this.options.heartbeatIntervalMs,
      maxWaitTimeInMs: options.maxWaitMs,
      allowAutoTopicCreation: false,
      // A consumer that gave up is made anew by our own supervision, which also sees what kafkajs calls not retriable.
      retry: { ...CONSUMER_RETRY, restartOnFailure: () => Promise.resolve(false) },
    });
    return new KafkajsConsumer(consumer, sockets, options);
  }

  async withAdmin<T>(work: (admin: AdminClient) => Promise<T>): Promise<T> {
    const admin = this.#kafka(new KafkajsSockets()).admin({ retry: { ...RETRY, retries: MIN_RETRIES } });
    try {
      await admin.connect();
      return await work(new KafkajsAdmin(admin));
    } finally {
      await admin.disconnect().catch(() => undefined);
    }
  }

  /** One kafkajs instance each: the sockets belong to it. */
  #kafka(sockets: KafkajsSockets, more: Pick<KafkaConfig, 'requestTimeout' | 'retry'> = {}): Kafka {
    const { brokers, clientId, ssl, sasl, connectTimeoutMs, name } = this.options;
    return new this.loaded.kafkajs.Kafka({
      brokers: [...brokers],
      clientId: clientId ?? this.environment.service,
      ...(ssl === undefined ? {} : { ssl }),
      // A copy: kafkajs writes into it.
      ...(sasl === undefined ? {} : { sasl: { ...sasl } as SASLOptions }),
      connectionTimeout: Math.min(10_000, connectTimeoutMs),
      // Each retry of the first connection takes another of the brokers named.
      retry: { ...RETRY, retries: Math.max(MIN_RETRIES, brokers.length) },
      socketFactory: (target) => sockets.create(target),
      logCreator: kafkajsLog(name, this.environment.logger),
      ...more,
    });
  }
}

class KafkajsProducer implements ProducerClient {
  constructor(
    private readonly producer: Producer,
    private readonly sockets: KafkajsSockets,
    private readonly settings: { readonly compression: CompressionTypes; readonly timeout: number },
  ) {}

  async connect(): Promise<void> {
    await this.producer.connect();
  }

  async send(records: readonly OutgoingRecord[]): Promise<void> {
    const byTopic = new Map<string, OutgoingRecord[]>();
    for (const record of records) {
      const known = byTopic.get(record.topic);
      if (known === undefined) byTopic.set(record.topic, [record]);
      else known.push(record);
    }
    const topicMessages = [...byTopic].map(([topic, messages]) => ({ topic, messages: messages as Message[] }));
    await this.producer.sendBatch({ acks: -1, ...this.settings, topicMessages });
  }

  abandon(): void {
    this.sockets.cut();
    this.producer.disconnect().catch(() => undefined);
  }

  async disconnect(): Promise<void> {
    await this.producer.disconnect();
  }
}

type Message = NonNullable<
  NonNullable<Parameters<Producer['sendBatch']>[0]['topicMessages']>[number]['messages']
>[number];

import { connect, type ChannelModel } from 'amqplib';
import { ConfigResourceTypes } from 'kafkajs';
import type { TransportDefinition } from '../../lib/core/transport.js';
import { kafka } from '../../lib/kafka.js';
import { rabbitmq } from '../../lib/rabbitmq.js';
import { KafkaWorld } from '../transports/kafka.support.js';
import { RabbitmqWorld } from '../transports/rabbitmq.support.js';

/** More than a test publishes: what waits for a dead letter does not keep the others from being delivered. */
const PREFETCH = 500;

/** A broker as its operator sees it: what it still keeps for a group, and its dead letters made unwritable. */
export interface DeadLetterBroker {
  readonly kind: string;
  /** Also the service and the first word of its events. */
  readonly group: string;
  /** How the place of the dead letters is made unwritable, for a title. */
  readonly trouble: string;
  transport(): TransportDefinition;
  takeAway(): Promise<void>;
  giveBack(): Promise<void>;
  /** Whether everything is acknowledged but these; on Kafka, but what begins in each partition with one of these. */
  keepsOnly(ids: ReadonlySet<string>): Promise<boolean>;
  /** How many dead letters stand there, counted by the broker's own client. */
  written(): Promise<number>;
  close(): Promise<void>;
}

export class KafkaDeadLetters implements DeadLetterBroker {
  readonly kind = 'kafka';
  readonly trouble = 'its topic takes no message of more than a byte';
  readonly #world: KafkaWorld;

  constructor(brokers: string) {
    this.#world = new KafkaWorld(brokers.split(','));
  }

  get group(): string {
    return this.#world.group;
  }

  get #topic(): string {
    return `${this.group}.dlq`;
  }

  transport(): TransportDefinition {
    return kafka({ brokers: this.#world.brokers });
  }

  /** n.b. `min.insync.replicas` would not do: a broker counts no more replicas than there are. */
  takeAway(): Promise<void> {
    return this.#world.createTopic(this.#topic, 1, { 'max.message.bytes': '1' });
  }

  giveBack(): Promise<void> {
    const configEntries = [{ name: 'max.message.bytes', value: '2000000' }];
    const resource = { type: ConfigResourceTypes.TOPIC, name: this.#topic, configEntries };
    return this.#world.admin(async (admin) => {
      await admin.alterConfigs({ validateOnly: false, resources: [resource] });
    });
  }

  async keepsOnly(ids: ReadonlySet<string>): Promise<boolean> {
    const topic = `${this.group}.entry`;
    const committed = await this.#world.committed(topic);
    const firstKept = new Map(await this.#world.ends(topic));
    for (const { partition, offset, headers } of ids.size === 0 ? [] : await this.#world.records(topic)) {
      if (!ids.has(String(headers['ce_id']))) continue;
      firstKept.set(partition, Math.min(offset, firstKept.get(partition) ?? offset));
    }
    return [...firstKept].every(([partition, offset]) => (committed.get(partition) ?? 0) === offset);
  }

  async written(): Promise<number> {
    return (await this.#world.records(this.#topic)).length;
  }

  close(): Promise<void> {
    return this.#world.close();
  }
}

export class RabbitmqDeadLetters implements DeadLetterBroker {
  readonly kind = 'rabbitmq';
  readonly trouble = 'its queue is gone, and its name taken by another connection';
  readonly #world = new RabbitmqWorld();
  #thief: ChannelModel | undefined;

  constructor(private readonly managementUrl: string) {
    this.#world.deletes(this.#queue);
  }

  get group(): string {
    return this.#world.group;
  }

  get #queue(): string {
    return this.#world.queue('book');
  }

  transport(): TransportDefinition {
    return rabbitmq({ url: RabbitmqWorld.url(), exchange: this.#world.exchange, prefetch: PREFETCH });
  }

  /** The binding went with the queue: what is published returns; and nobody else can declare or bind what is exclusive. */
  async takeAway(): Promise<void> {
    await (await this.#world.admin()).deleteQueue(`${this.#queue}.dlq`);
    this.#thief = await connect(RabbitmqWorld.url());
    const channel = await this.#thief.createChannel();
    await channel.assertQueue(`${this.#queue}.dlq`, { exclusive: true, durable: false });
  }

  async giveBack(): Promise<void> {
    const thief = this.#thief;
    this.#thief = undefined;
    if (thief === undefined) return;
    const { messageCount } = await (await thief.createChannel()).checkQueue(`${this.#queue}.dlq`);
    await thief.close();
    if (messageCount > 0) throw new Error(`${messageCount} message(s) went where they are lost`);
  }

  /** n.b. what the management tells is up to five seconds old */
  async keepsOnly(ids: ReadonlySet<string>): Promise<boolean> {
    const queue = encodeURIComponent(this.#queue);
    const vhost = encodeURIComponent(decodeURIComponent(new URL(RabbitmqWorld.url()).pathname.slice(1)) || '/');
    const { username, password, origin } = new URL(this.managementUrl);
    const credentials = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`);
    const answer = await fetch(`${origin}/api/queues/${vhost}/${queue}`, {
      headers: { authorization: `Basic ${credentials.toString('base64')}` },
    });
    const { messages_ready: ready, messages_unacknowledged: held } = (await answer.json()) as Record<string, unknown>;
    return ready === 0 && held === ids.size;
  }

  written(): Promise<number> {
    return this.#world.depth(`${this.#queue}.dlq`);
  }

  async close(): Promise<void> {
    await this.#thief?.close();
    await this.#world.close();
  }
}

import { Kafka, logLevel, type Admin, type Consumer } from 'kafkajs';
import { uniqueWord } from '../support/unique.js';

export interface LoggedEvent {
  readonly key: string;
  readonly id: string;
}

/** What stands in a topic, in its order, read by the client itself. */
export class KafkaLog {
  readonly events: LoggedEvent[] = [];
  readonly #consumer: Consumer;
  readonly #admin: Admin;
  /** Partition → the offset behind what was read. */
  readonly #read = new Map<number, number>();

  constructor(
    brokers: readonly string[],
    private readonly topic: string,
  ) {
    const client = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING });
    this.#consumer = client.consumer({ groupId: uniqueWord('log') });
    this.#admin = client.admin();
  }

  /** The topic has to be there. */
  async open(): Promise<void> {
    await this.#admin.connect();
    await this.#consumer.connect();
    await this.#consumer.subscribe({ topic: this.topic, fromBeginning: true });
    await this.#consumer.run({
      eachMessage: async ({ partition, message }) => {
        this.events.push({ key: String(message.key), id: String(message.headers?.['ce_id']) });
        this.#read.set(partition, Number(message.offset) + 1);
      },
    });
  }

  async isReadToItsEnd(): Promise<boolean> {
    const ends = await this.#admin.fetchTopicOffsets(this.topic);
    return ends.every(({ partition, high }) => (this.#read.get(partition) ?? 0) >= Number(high));
  }

  async close(): Promise<void> {
    await this.#consumer.disconnect();
    await this.#admin.disconnect();
  }
}

import { connect } from 'amqplib';
import { Kafka, logLevel } from 'kafkajs';
import type { MemoryBroker } from '../../lib/index.js';
import { emptyHeaders, type HeaderValue, type Headers } from '../../lib/core/headers.js';

/** An event as any program could send it: nothing of it has to make sense. */
export interface RawInput {
  /** Where it is sent: the broker routes it as the event of this name. */
  readonly name: string;
  /** The broker's own key, where it has one. */
  readonly key: string | Buffer;
  /** CloudEvents attributes, without the prefix of the transport. */
  readonly attributes: Headers;
  readonly headers: Headers;
  readonly contentType: string | undefined;
  /** `null`: none. AMQP has no way to say so, and carries an empty one. */
  readonly body: Buffer | null;
}

/** Hands inputs to a broker, in order, past every mapper of ours; resolves when it has them. */
export type RawSender = (inputs: readonly RawInput[]) => Promise<void>;

export function memorySender(broker: MemoryBroker): RawSender {
  return async (inputs) => {
    for (const input of inputs) {
      const headers = withAttributes(input, 'ce_', input.contentType);
      broker.publish({
        name: input.name,
        key: String(input.key),
        headers,
        body: input.body,
      });
    }
  };
}

export function kafkaSender(brokers: string[]): RawSender {
  return async (inputs) => {
    const producer = new Kafka({ brokers, logLevel: logLevel.NOTHING }).producer({ maxInFlightRequests: 1 });
    await producer.connect();
    const messages = inputs.map((input) => ({
      key: input.key,
      value: input.body,
      headers: withAttributes(input, 'ce_', input.contentType) as Record<string, string | Buffer | (string | Buffer)[]>,
    }));
    const topic = inputs[0]?.name.split('.', 2).join('.') ?? '';
    try {
      // In one request they would be more than a broker takes.
      for (let sent = 0; sent < messages.length; sent += 20)
        await producer.send({ topic, messages: messages.slice(sent, sent + 20) });
    } finally {
      await producer.disconnect();
    }
  };
}

export function rabbitmqSender(url: string, exchange: string): RawSender {
  return async (inputs) => {
    const connection = await connect(url);
    try {
      const channel = await connection.createConfirmChannel();
      for (const input of inputs) {
        channel.publish(exchange, input.name, input.body ?? Buffer.alloc(0), {
          headers: withAttributes(input, 'cloudEvents_'),
          ...(input.contentType === undefined ? {} : { contentType: input.contentType }),
          persistent: true,
        });
      }
      await channel.waitForConfirms();
    } finally {
      await connection.close();
    }
  };
}

function withAttributes({ attributes, headers }: RawInput, prefix: string, contentType?: string): Headers {
  const all: Record<string, HeaderValue> = emptyHeaders();
  Object.assign(all, contentType === undefined ? {} : { 'content-type': contentType });
  for (const [name, value] of Object.entries(attributes)) all[prefix + name] = value;
  for (const [name, value] of Object.entries(headers)) all[name] = value;
  return all;
}

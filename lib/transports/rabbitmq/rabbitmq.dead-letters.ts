import type { Channel, ConsumeMessage } from 'amqplib';
import type { Reading } from '../../core/cloudevents.js';
import { within, type Clock } from '../../core/clock.js';
import type { DeadLetter } from '../../core/dead-letter.js';
import { fromDeadLetterHeaders, toDeadLetterHeaders } from '../../core/dead-letter.js';
import { EventsError, isEventsError } from '../../core/errors.js';
import type { DeadLetterQuery, TransportEnvironment } from '../../core/transport.js';
import { whenReturned, withChannel } from './rabbitmq.channel.js';
import type { HealingConnection } from './rabbitmq.connection.js';
import { isNotFound } from './rabbitmq.errors.js';
import { rawToMessage, toEnvelope, toHeaders, toKey, withoutBrokerHeaders } from './rabbitmq.mapper.js';
import type { Confirmation, Publisher } from './rabbitmq.publisher.js';
import { deadLetterExchange, deadLetterQueue, declareDeadLetterQueue, queueName } from './rabbitmq.topology.js';

const DEFAULT_LIMIT = 1_000;
const TAKE_TIMEOUT_MS = 2_000;
const MAX_PREFETCH = 65_535;
/**
 * Up to this many are always read whole. n.b. a quorum queue puts what returns behind what has returned before, and
 * reading a part would turn the order around.
 */
const WHOLE = 1_000;

export interface DeadLettersOptions {
  /** The transport's name. */
  readonly transport: string;
  readonly exchange: string;
  readonly publisher: Publisher;
  /** For what is not published; open when it is used. */
  readonly connection: HealingConnection;
  readonly environment: TransportEnvironment;
}

interface ReadContext {
  readonly transport: string;
  readonly reading: Reading;
}

/** The dead letters of this transport: `<queue>.dlq` holds ours and those the broker makes. */
export class DeadLetters {
  /** One reader of a queue at a time: while one looks, the messages are hidden from others. */
  readonly #reading = new Map<string, Promise<unknown>>();

  constructor(private readonly options: DeadLettersOptions) {}

  /** Resolves once the broker has confirmed it and a queue has it. */
  async write(letter: DeadLetter): Promise<void> {
    const queue = queueName(letter);
    if ((await this.#publish(letter, queue)) === 'routed') return;
    // Somebody has deleted the queue or its binding.
    await this.#onChannel((channel) => declareDeadLetterQueue(channel, this.options.exchange, queue));
    if ((await this.#publish(letter, queue)) === 'routed') return;
    const place = `"${deadLetterExchange(this.options.exchange)}" with the routing key "${queue}"`;
    throw new EventsError('EVENTS_PUBLISH_FAILED', `no queue takes the dead letters sent to ${place}`, {
      event: letter.event,
      handler: letter.handler,
      remedy: `Bind "${deadLetterQueue(queue)}" to it; until then the event stays in its own queue.`,
    });
  }

  /**
   * Reads without removing. n.b. while it reads, another process that reads the same queue does not see these
   * messages; they are given back in their old order.
   */
  async read(query: DeadLetterQuery): Promise<DeadLetter[]> {
    const queue = queueName(query);
    const before = this.#reading.get(queue) ?? Promise.resolve();
    const reading = before.catch(() => undefined).then(() => this.#browse(queue, query.limit ?? DEFAULT_LIMIT));
    this.#reading.set(queue, reading);
    try {
      return (await reading)
        .map((message) => this.#toDeadLetter(message, query))
        .filter(({ group, handler }) => group === query.group && handler === query.handler)
        .sort((one, other) => Date.parse(one.lastFailureAt) - Date.parse(other.lastFailureAt))
        .slice(0, query.limit ?? DEFAULT_LIMIT);
    } finally {
      if (this.#reading.get(queue) === reading) this.#reading.delete(queue);
    }
  }

  async #publish(letter: DeadLetter, queue: string): Promise<Confirmation> {
    for (const smaller of [letter, withoutStack(letter)]) {
      try {
        return await this.#send(smaller, queue);
      } catch (error) {
        if (!isTooManyHeaders(error)) throw error;
      }
    }
    // Metadata is cut, the bytes of the event never.
    return this.#send({ ...withoutStack(letter), original: { ...letter.original, headers: {} } }, queue);
  }

  #send(letter: DeadLetter, queue: string): Promise<Confirmation> {
    const { publisher, exchange } = this.options;
    const message = rawToMessage(letter.original.body, toDeadLetterHeaders(letter));
    return publisher.publish({
      ...message,
      exchange: deadLetterExchange(exchange),
      routingKey: queue,
      event: letter.event,
    });
  }

  async #browse(queue: string, limit: number): Promise<ConsumeMessage[]> {
    const { clock } = this.options.environment;
    const name = deadLetterQueue(queue);
    try {
      let ready = 0;
      const messages = await this.#onChannel(async (channel) => {
        ready = (await channel.checkQueue(name)).messageCount;
        return take(channel, name, { count: Math.min(ready, Math.max(limit, WHOLE), MAX_PREFETCH), clock });
      });
      if (messages.length > 0) await this.#onChannel((channel) => whenReturned(channel, { queue: name, ready, clock }));
      return messages;
    } catch (error) {
      if (isNotFound(error)) return [];
      throw error;
    }
  }

  #toDeadLetter(message: ConsumeMessage, query: DeadLetterQuery): DeadLetter {
    const { transport, environment } = this.options;
    const headers = withoutBrokerHeaders(toHeaders(message));
    const ours = fromDeadLetterHeaders(headers, { body: message.content, ...toKey(headers) });
    return ours ?? brokersOwn(message, query, { transport, reading: environment });
  }

  async #onChannel<T>(work: (channel: Channel) => Promise<T>): Promise<T> {
    const { connection, environment } = this.options;
    await connection.connect();
    const signal = AbortSignal.timeout(environment.publishTimeoutMs);
    const model = await connection.ready(signal);
    if (model !== undefined) return withChannel(model, environment.clock, work);
    throw new EventsError('EVENTS_TRANSPORT_UNREACHABLE', 'there is no connection to RabbitMQ', {
      remedy: 'Try again when the broker is back.',
    });
  }
}

/**
 * Takes messages without settling them: they return when the channel closes. n.b. with `get`, each would be taken by a
 * consumer of its own, and they would return in any order.
 */
async function take(
  channel: Channel,
  queue: string,
  { count, clock }: { count: number; clock: Clock },
): Promise<ConsumeMessage[]> {
  const messages: ConsumeMessage[] = [];
  if (count === 0) return messages;
  await channel.prefetch(count);
  const taken = new Promise<void>((resolve, reject) => {
    channel.once('close', resolve);
    const receive = (message: ConsumeMessage | null): void => {
      if (message !== null) messages.push(message);
      if (message === null || messages.length >= count) resolve();
    };
    channel.consume(queue, receive).catch(reject);
  });
  // Another process may be reading the same ones: then there are fewer.
  await within(clock, TAKE_TIMEOUT_MS, taken);
  return messages.slice(0, count);
}

/** One that the broker made: its TTL passed, its queue was too long, or it was given back too often. */
function brokersOwn(message: ConsumeMessage, query: DeadLetterQuery, { transport, reading }: ReadContext): DeadLetter {
  const headers = toHeaders(message);
  const { reason = 'unknown', exchange, 'routing-keys': keys, time } = latestDeath(message);
  const at = new Date((time?.value ?? 0) * 1_000).toISOString();
  return {
    group: query.group,
    handler: query.handler,
    ...identityOf(message, reading),
    error: { code: reason, message: `RabbitMQ itself moved the event here: ${reason}` },
    attempts: Number(message.properties.headers?.['x-delivery-count'] ?? 0),
    firstFailureAt: at,
    lastFailureAt: at,
    original: {
      place: { transport, address: [exchange, keys?.[0]].filter(Boolean).join('/') },
      body: message.content,
      headers,
      ...toKey(headers),
    },
  };
}

function identityOf(message: ConsumeMessage, reading: Reading): { event?: string; id?: string } {
  try {
    const { name, id } = toEnvelope(message, reading);
    return { event: name, id };
  } catch {
    return {};
  }
}

interface Death {
  /** `expired`, `delivery_limit`, `maxlen` or `rejected`. */
  readonly reason?: string;
  readonly exchange?: string;
  readonly 'routing-keys'?: readonly string[];
  /** Seconds since the Unix epoch. */
  readonly time?: { readonly value: number };
}

/** n.b. `x-death` lists the latest first */
function latestDeath(message: ConsumeMessage): Death {
  const deaths: unknown = message.properties.headers?.['x-death'];
  return (Array.isArray(deaths) ? (deaths[0] as Death | undefined) : undefined) ?? {};
}

function withoutStack(letter: DeadLetter): DeadLetter {
  const { code, message } = letter.error;
  return { ...letter, error: { code, message } };
}

const isTooManyHeaders = (error: unknown): boolean =>
  isEventsError(error, 'EVENTS_PAYLOAD_TOO_LARGE') && error.cause instanceof RangeError;

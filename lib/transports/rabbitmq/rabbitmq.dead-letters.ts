import type { Channel, ChannelModel } from 'amqplib';
import { carryDeadLetter, type CarriedDeadLetter } from '../../core/dead-letter-headers.js';
import type { DeadLetter } from '../../core/dead-letter.js';
import { EventsError, isEventsError } from '../../core/errors.js';
import type {
  CollectDeadLetters,
  DeadLetterCollection,
  DeadLetterQuery,
  TakeDeadLetters,
  TransportEnvironment,
} from '../../core/transport.js';
import { withChannel } from './rabbitmq.channel.js';
import type { HealingConnection } from './rabbitmq.connection.js';
import { QueueCollector } from './rabbitmq.dead-letter.collector.js';
import { toDeadLetter, type LetterContext } from './rabbitmq.dead-letter.mapper.js';
import { Taking, type TakingTools } from './rabbitmq.dead-letter.taking.js';
import { isNotFound } from './rabbitmq.errors.js';
import { Holding } from './rabbitmq.holding.js';
import { rawToMessage } from './rabbitmq.mapper.js';
import type { Confirmation, Publisher } from './rabbitmq.publisher.js';
import { deadLetterExchange, deadLetterQueue, declareDeadLetterQueue, queueName } from './rabbitmq.topology.js';
import { Turns } from './rabbitmq.turns.js';

const DEFAULT_LIMIT = 1_000;

export interface DeadLettersOptions {
  /** The transport's name. */
  readonly transport: string;
  readonly exchange: string;
  readonly publisher: Publisher;
  /** For what is not published; open when it is used. */
  readonly connection: HealingConnection;
  readonly environment: TransportEnvironment;
}

/** The dead letters of this transport: `<queue>.dlq` holds ours and those the broker makes. */
export class DeadLetters {
  /** One reader of a queue at a time: while one looks, the messages are hidden from others. */
  readonly #reading = new Turns();
  readonly #taking = new Turns();
  /** What is being taken can be read meanwhile, though its queue hides it. */
  readonly #taken = new Map<string, Taking>();

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
    const { group, handler, limit = DEFAULT_LIMIT } = query;
    const queue = deadLetterQueue(queueName(query));
    const letters = await this.#reading.take(queue, async () => [
      ...(this.#taken.get(queue)?.held ?? []),
      ...(await this.#browse(queue, query)),
    ]);
    const own = letters.filter((letter) => letter.group === group && letter.handler === handler);
    // Of those that were written twice, the later one counts.
    const unique = new Map(own.map((letter) => [letter.id, letter]));
    return [...unique.values()].sort(byAge).slice(0, limit);
  }

  /** n.b. while it takes, other processes do not see what it has not removed. */
  async take(request: TakeDeadLetters): Promise<void> {
    const queue = deadLetterQueue(queueName(request));
    const context = this.#context(request);
    const tools: TakingTools = {
      clock: this.options.environment.clock,
      alone: (work) => this.#reading.take(queue, work),
      open: async () => Holding.open({ ...{ model: await this.#ready(), queue }, clock: tools.clock }),
      read: (message) => toDeadLetter(message, context),
    };
    await this.#taking.take(queue, async () => {
      const taking = new Taking(request, tools);
      this.#taken.set(queue, taking);
      try {
        await taking.run();
      } finally {
        this.#taken.delete(queue);
      }
    });
  }

  /** Each handler's queue on a channel of its own. */
  async collect({ group, handlers, collect }: CollectDeadLetters): Promise<DeadLetterCollection> {
    const { connection, environment, exchange } = this.options;
    await connection.connect();
    const collectors = handlers.map((handler) => {
      const context = this.#context({ group, handler });
      const read = (message: Parameters<typeof toDeadLetter>[0]): DeadLetter => toDeadLetter(message, context);
      const queue = queueName({ group, handler });
      return new QueueCollector({ ...{ connection, environment, exchange, queue }, read, collect });
    });
    const close = async (): Promise<void> => {
      await Promise.all(collectors.map((collector) => collector.close()));
    };
    try {
      await Promise.all(collectors.map((collector) => collector.start()));
    } catch (error) {
      await close();
      throw error;
    }
    return { close };
  }

  async #publish(letter: DeadLetter, queue: string): Promise<Confirmation> {
    const { deadLetterBody: body, maxPayloadBytes } = this.options.environment;
    let tooLarge: unknown;
    for (const carried of carryDeadLetter(letter, { body, maxBytes: maxPayloadBytes * 2, numbers: 'text' })) {
      try {
        return await this.#send(carried, { queue, event: letter.event });
      } catch (error) {
        if (!isTooManyHeaders(error)) throw error;
        tooLarge = error;
      }
    }
    throw tooLarge;
  }

  #send(
    { body, headers }: CarriedDeadLetter,
    about: { readonly queue: string; readonly event: string | undefined },
  ): Promise<Confirmation> {
    const { publisher, exchange } = this.options;
    return publisher.publish({
      ...rawToMessage(body, headers),
      exchange: deadLetterExchange(exchange),
      routingKey: about.queue,
      event: about.event,
    });
  }

  async #browse(queue: string, { limit = DEFAULT_LIMIT, ...owner }: DeadLetterQuery): Promise<DeadLetter[]> {
    const { clock } = this.options.environment;
    try {
      const holding = await Holding.open({ model: await this.#ready(), clock, queue, limit });
      await holding.close();
      return holding.messages.map((message) => toDeadLetter(message, this.#context(owner)));
    } catch (error) {
      if (isNotFound(error)) return [];
      throw error;
    }
  }

  #context({ group, handler }: Pick<DeadLetterQuery, 'group' | 'handler'>): LetterContext {
    const { transport, environment } = this.options;
    return { group, handler, transport, reading: environment };
  }

  async #onChannel<T>(work: (channel: Channel) => Promise<T>): Promise<T> {
    return withChannel(await this.#ready(), this.options.environment.clock, work);
  }

  async #ready(): Promise<ChannelModel> {
    const { connection, environment } = this.options;
    await connection.connect();
    const model = await connection.ready(AbortSignal.timeout(environment.publishTimeoutMs));
    if (model !== undefined) return model;
    throw new EventsError('EVENTS_TRANSPORT_UNREACHABLE', 'there is no connection to RabbitMQ', {
      remedy: 'Try again when the broker is back.',
    });
  }
}

function byAge(one: DeadLetter, other: DeadLetter): number {
  return Date.parse(one.lastFailureAt) - Date.parse(other.lastFailureAt);
}

const isTooManyHeaders = (error: unknown): boolean =>
  isEventsError(error, 'EVENTS_PAYLOAD_TOO_LARGE') && error.cause instanceof RangeError;

import type { Channel, ChannelModel } from 'amqplib';
import type { Clock } from '../../core/clock.js';
import { EventsError } from '../../core/errors.js';
import { consumerName, type Subscription } from '../../core/subscription.js';
import { withChannel } from './rabbitmq.channel.js';
import { isNotFound, refusal } from './rabbitmq.errors.js';
import { handlerSettings, type QueueSettings, type RabbitmqSettings } from './rabbitmq.options.js';

const MAX_NAME_BYTES = 255;
const DEAD_LETTER_SUFFIX = '.dlq';
/**
 * "None", said in a way that every broker understands, because arguments cannot change later: from RabbitMQ 4.0 the
 * default is 20, and browsing dead letters would drop them; the -1 that lifts it is refused by 3.x.
 */
const NO_DELIVERY_LIMIT = 2_147_483_647;

export const deadLetterExchange = (exchange: string): string => `${exchange}.dlx`;
export const deadLetterQueue = (queue: string): string => queue + DEAD_LETTER_SUFFIX;

/** `<group>.<handler id>`. Throws EVENTS_HANDLER_INVALID when the broker cannot have it. */
export function queueName(subscription: Pick<Subscription, 'group' | 'handler'>): string {
  const queue = consumerName(subscription);
  const bytes = Buffer.byteLength(deadLetterQueue(queue));
  const problem =
    bytes > MAX_NAME_BYTES
      ? `"${deadLetterQueue(queue)}" has ${bytes} bytes, and RabbitMQ allows ${MAX_NAME_BYTES}`
      : queue.startsWith('amq.')
        ? 'names starting with "amq." belong to RabbitMQ'
        : undefined;
  if (problem === undefined) return queue;
  throw new EventsError('EVENTS_HANDLER_INVALID', `the queue cannot be named "<group>.<handler id>": ${problem}`, {
    handler: subscription.handler,
    remedy: 'Give the handler or its group a shorter or other name: @OnEvent(…, { id, group }).',
  });
}

/** The exchange that events are published to. */
export async function declareExchange(channel: Channel, exchange: string): Promise<void> {
  await refusedAs(`the exchange "${exchange}"`, channel.assertExchange(exchange, 'topic', { durable: true }));
}

/** Where dead letters go, ours and the broker's. */
export async function declareDeadLetterExchange(channel: Channel, exchange: string): Promise<void> {
  const name = deadLetterExchange(exchange);
  await refusedAs(`the exchange "${name}"`, channel.assertExchange(name, 'direct', { durable: true }));
}

/** The landing place of one queue's dead letters. They stay until somebody takes them. */
export async function declareDeadLetterQueue(channel: Channel, exchange: string, queue: string): Promise<void> {
  await declareDeadLetterExchange(channel, exchange);
  const name = deadLetterQueue(queue);
  const args = { 'x-queue-type': 'quorum', 'x-delivery-limit': NO_DELIVERY_LIMIT };
  await refusedAs(`the queue "${name}"`, channel.assertQueue(name, { durable: true, arguments: args }));
  await refusedAs(`binding "${name}"`, channel.bindQueue(name, deadLetterExchange(exchange), queue));
}

export interface QueueTopology {
  readonly exchange: string;
  readonly queue: string;
  readonly patterns: readonly string[];
  readonly settings: QueueSettings;
}

/** What a subscription needs at the broker. Throws EVENTS_OPTIONS_INVALID and EVENTS_HANDLER_INVALID. */
export function queueTopology(subscription: Subscription, { exchange, queue }: RabbitmqSettings): QueueTopology {
  return {
    exchange,
    queue: queueName(subscription),
    patterns: subscription.patterns,
    settings: handlerSettings(subscription.transportOptions['rabbitmq'], queue, subscription.handler),
  };
}

/**
 * A handler's queue with all that belongs to it. The landing place of its dead letters comes first: dead letters for
 * an exchange that is missing are dropped without a word. Bindings of patterns that the code no longer has are left,
 * because an older instance may still need them; what they bring is settled as unhandled.
 */
export async function declareQueue(
  channel: Channel,
  { exchange, queue, patterns, settings }: QueueTopology,
): Promise<void> {
  await declareExchange(channel, exchange);
  await declareDeadLetterQueue(channel, exchange, queue);
  const args = queueArguments(exchange, queue, settings);
  await refusedAs(`the queue "${queue}"`, channel.assertQueue(queue, { durable: true, arguments: args }));
  for (const pattern of patterns) {
    await refusedAs(`binding "${queue}" to "${pattern}"`, channel.bindQueue(queue, exchange, pattern));
  }
}

/** The queues that former ids of the handler left behind, if they still are there. */
export async function formerQueues(subscription: Subscription, model: ChannelModel, clock: Clock): Promise<string[]> {
  const names = subscription.aliases.map((handler) => queueName({ group: subscription.group, handler }));
  const found = await Promise.all(
    // n.b. asking for a queue that is not there closes the channel: each question has its own
    names.map((name) =>
      withChannel(model, clock, (channel) => channel.checkQueue(name)).then(
        () => [name],
        (error: unknown) => {
          if (isNotFound(error)) return [];
          throw error;
        },
      ),
    ),
  );
  return found.flat();
}

/** Once the handler's queue gets the events, a former one needs no more of them; what it holds is still read. */
export async function retireQueue(
  channel: Channel,
  queue: string,
  { exchange, patterns }: QueueTopology,
): Promise<void> {
  for (const pattern of patterns) await channel.unbindQueue(queue, exchange, pattern);
}

function queueArguments(exchange: string, queue: string, settings: QueueSettings): Record<string, unknown> {
  return {
    'x-queue-type': 'quorum',
    'x-dead-letter-exchange': deadLetterExchange(exchange),
    'x-dead-letter-routing-key': queue,
    // n.b. the default is at most once; at least once works only for a queue that refuses instead of dropping its head
    'x-dead-letter-strategy': 'at-least-once',
    'x-overflow': 'reject-publish',
    'x-message-ttl': settings.queueTtlMs,
    'x-delivery-limit': settings.deliveryLimit,
    ...(settings.singleActiveConsumer ? { 'x-single-active-consumer': true } : {}),
  };
}

async function refusedAs(subject: string, declared: Promise<unknown>): Promise<void> {
  try {
    await declared;
  } catch (error) {
    throw refusal(error, subject) ?? error;
  }
}

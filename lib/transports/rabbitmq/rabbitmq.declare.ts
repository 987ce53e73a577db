import { sleep, type Clock } from '../../core/clock.js';
import { EventsError, messageOf } from '../../core/errors.js';
import { withChannel } from './rabbitmq.channel.js';
import { backoffMs, type HealingConnection } from './rabbitmq.connection.js';
import { brokerText } from './rabbitmq.errors.js';
import { declareQueue, type QueueTopology } from './rabbitmq.topology.js';

export interface DeclareOptions {
  readonly connection: HealingConnection;
  readonly clock: Clock;
  readonly timeoutMs: number;
}

/** Declares queues side by side, each on its own channel, because a refusal closes the channel. Throws after all were tried. */
export async function declareQueues(topologies: readonly QueueTopology[], options: DeclareOptions): Promise<void> {
  await everyOne(topologies.map((topology) => declareInTime(topology, options)));
}

/** What is refused is refused; what fails otherwise (a lost connection, a cluster that still starts) is tried again. */
async function declareInTime(topology: QueueTopology, { connection, clock, timeoutMs }: DeclareOptions): Promise<void> {
  const deadline = clock.now() + timeoutMs;
  for (let failures = 1; ; failures++) {
    try {
      const model = await connection.ready(AbortSignal.timeout(Math.max(1, deadline - clock.now())));
      if (model === undefined) throw new Error('there is no connection');
      return await withChannel(model, clock, (channel) => declareQueue(channel, topology));
    } catch (error) {
      if (error instanceof EventsError) throw error;
      if (clock.now() >= deadline) throw undeclared(topology.queue, error);
      await sleep(clock, backoffMs(failures));
    }
  }
}

/** Waits for all, then throws what failed: one error as it is, several as one that names them all. */
export async function everyOne(work: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(work);
  const errors = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
  const [first] = errors;
  if (errors.length === 0) return;
  if (errors.length === 1 || !(first instanceof EventsError)) throw first;
  throw new EventsError(first.code, `RabbitMQ refuses ${errors.length} queues: ${errors.map(messageOf).join(' — ')}`, {
    remedy: 'The other queues were declared. Mend these and start again.',
    cause: new AggregateError(errors),
  });
}

function undeclared(queue: string, cause: unknown): EventsError {
  return new EventsError(
    'EVENTS_TRANSPORT_UNREACHABLE',
    `the queue "${queue}" was not declared: ${brokerText(cause)}`,
    {
      remedy: 'Check that the broker runs and has a majority of its nodes.',
      cause,
    },
  );
}

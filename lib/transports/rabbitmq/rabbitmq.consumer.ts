import { within } from '../../core/clock.js';
import { EventsError } from '../../core/errors.js';
import { HandlerLanes } from '../../core/handler-lanes.js';
import type { Subscription } from '../../core/subscription.js';
import type { ConsumeRequest, TransportConsumer, TransportEnvironment } from '../../core/transport.js';
import type { HealingConnection } from './rabbitmq.connection.js';
import { everyOne } from './rabbitmq.declare.js';
import type { RabbitmqSettings } from './rabbitmq.options.js';
import { QueueReader } from './rabbitmq.reader.js';
import { formerQueues } from './rabbitmq.topology.js';

export interface RabbitmqConsumerOptions {
  readonly connection: HealingConnection;
  readonly settings: RabbitmqSettings;
  readonly environment: TransportEnvironment;
  readonly request: ConsumeRequest;
}

/** The queues of one group: a queue for each handler, read side by side into that handler's lanes. */
export class RabbitmqConsumer implements TransportConsumer {
  readonly #lanes: HandlerLanes;
  readonly #readers: QueueReader[];
  #started = false;
  #stopped = false;

  /** Throws for options and names that are wrong; starts nothing. */
  constructor(private readonly options: RabbitmqConsumerOptions) {
    const { request, environment } = options;
    this.#lanes = new HandlerLanes({
      clock: environment.clock,
      logger: environment.logger,
      // A delivery whose channel was lost while it waited comes again, behind this one in its lane: run it then.
      process: async (delivery, slot) => (delivery.lost.aborted ? undefined : request.process(delivery, slot)),
      processBatch: async (deliveries, slot) =>
        request.processBatch(
          deliveries.filter(({ lost }) => !lost.aborted),
          slot,
        ),
      limitOf: request.limitOf.bind(request),
    });
    this.#readers = request.subscriptions.map((subscription) => this.#reader(subscription));
  }

  /**
   * Resolves when all queues are bound and read. When some are refused the others are declared all the same, so that
   * they keep what is published from now on; then all are left and the refusals are thrown: a service that would run
   * without some of its handlers does not start.
   */
  async start(): Promise<void> {
    const { environment, settings, request } = this.options;
    const starting = this.#startReaders();
    try {
      if (!(await within(environment.clock, settings.connectTimeoutMs, starting))) throw this.#late();
    } catch (error) {
      await this.close();
      throw error;
    }
    this.#started = true;
    environment.report({ type: 'consumer-started', transport: settings.name, group: request.group });
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const reader of this.#readers) reader.stop();
    this.#lanes.close();
    const { environment, settings, request } = this.options;
    if (this.#started) environment.report({ type: 'consumer-stopped', transport: settings.name, group: request.group });
  }

  async drain(): Promise<void> {
    await this.#lanes.idle();
    await Promise.all(this.#readers.map((reader) => reader.flush()));
  }

  async close(): Promise<void> {
    await this.stop();
    await Promise.all(this.#readers.map((reader) => reader.flush()));
    await Promise.all(this.#readers.map((reader) => reader.close()));
  }

  async #startReaders(): Promise<void> {
    const own = everyOne(this.#readers.map((reader) => reader.start()));
    const { request, connection, environment } = this.options;
    for (const subscription of request.subscriptions.filter(({ aliases }) => aliases.length > 0)) {
      const model = await connection.ready(new AbortController().signal);
      if (model === undefined) break;
      const former = await formerQueues(subscription, model, environment.clock);
      this.#readers.push(...former.map((queue) => this.#reader(subscription, queue)));
    }
    await own;
    await everyOne(this.#readers.slice(request.subscriptions.length).map((reader) => reader.start()));
  }

  /** Former queues of a handler share its lanes: their events are handled beside those of its own, each key one at a time. */
  #reader(subscription: Subscription, former?: string): QueueReader {
    return new QueueReader({
      ...this.options,
      subscription,
      former,
      deliver: (delivery) => this.#lanes.push(delivery),
      unhandled: (event, place) => this.options.request.unhandled(event, place),
    });
  }

  #late(): EventsError {
    const queues = this.#readers.map(({ queue }) => `"${queue}"`).join(', ');
    const { connectTimeoutMs } = this.options.settings;
    return new EventsError(
      'EVENTS_TRANSPORT_UNREACHABLE',
      `the queues ${queues} could not be read within ${connectTimeoutMs} ms`,
      { remedy: 'The log tells what stands in the way of each.' },
    );
  }
}

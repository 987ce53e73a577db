import { systemClock } from '../../lib/core/clock.js';
import type { Activity } from '../../lib/core/activity.js';
import type { DeadLetter } from '../../lib/core/dead-letter.js';
import { createEnvelope, type Envelope, type EnvelopeInit } from '../../lib/core/envelope.js';
import { jsonSerializer } from '../../lib/core/serializer.js';
import type { Transport, TransportDefinition, TransportEnvironment } from '../../lib/core/transport.js';
import { assertSocketsClosed, openSockets } from './open-sockets.js';
import { RecordingLogger } from './recording-logger.js';
import { TestConsumer, subscriptionOf, type TestHandler } from './test-consumer.js';

export type PublishInit = Partial<Omit<EnvelopeInit<unknown>, 'name' | 'data'>>;

/** A connected transport and what runs on it. */
export class TestTransport {
  readonly activities: Activity[] = [];
  readonly logger = new RecordingLogger();
  readonly consumers: TestConsumer[] = [];
  readonly transport: Transport;
  #closed: Promise<void> | undefined;

  constructor(definition: TransportDefinition, overrides: Partial<TransportEnvironment>) {
    this.transport = definition.create({
      service: 'conformance',
      clock: systemClock,
      logger: this.logger,
      serializer: jsonSerializer,
      report: (activity) => void this.activities.push(activity),
      publishTimeoutMs: 30_000,
      maxPayloadBytes: 1_000_000,
      window: { maxDeliveries: 1_000, maxBytes: 16 * 1_024 * 1_024 },
      production: false,
      ...overrides,
    });
  }

  async publish(name: string, data: unknown, init: PublishInit = {}): Promise<Envelope> {
    const envelope = createEnvelope({ source: 'conformance', ...init, name, data });
    await this.transport.publish(envelope);
    return envelope;
  }

  /** Publishes `{ n: 0 }` to `{ n: count - 1 }`, all at once. */
  async publishMany(name: string, count: number, init: (n: number) => PublishInit = () => ({})): Promise<Envelope[]> {
    return Promise.all(Array.from({ length: count }, (_, n) => this.publish(name, { n }, init(n))));
  }

  /** Starts handlers of one or several groups. */
  async consume(...handlers: TestHandler[]): Promise<TestConsumer> {
    return this.consumeThrough(this.transport, handlers);
  }

  /** The same on a transport that wraps this one. */
  async consumeThrough(transport: Transport, handlers: readonly TestHandler[]): Promise<TestConsumer> {
    const consumer = new TestConsumer(transport, handlers);
    this.consumers.push(consumer);
    return consumer.start();
  }

  async declare(...handlers: TestHandler[]): Promise<void> {
    await this.transport.declare(handlers.map(subscriptionOf));
  }

  deadLetters({ group, id = 'handler' }: Pick<TestHandler, 'group' | 'id'>): Promise<DeadLetter[]> {
    return this.transport.readDeadLetters({ group, handler: id });
  }

  close(): Promise<void> {
    this.#closed ??= Promise.all(this.consumers.map((consumer) => consumer.close(5_000))).then(() =>
      this.transport.close(),
    );
    return this.#closed;
  }
}

/** What one test opens; all of it is closed after the test, and what stays open fails it. */
export class TransportWorld {
  readonly #socketsBefore = openSockets();
  readonly #transports: TestTransport[] = [];

  async open(definition: TransportDefinition, overrides: Partial<TransportEnvironment> = {}): Promise<TestTransport> {
    const opened = new TestTransport(definition, overrides);
    this.#transports.push(opened);
    await opened.transport.connect();
    return opened;
  }

  async close(): Promise<void> {
    await Promise.all(this.#transports.map((transport) => transport.close()));
    const open = this.#transports.filter(({ transport }) => transport.isConnected());
    if (open.length > 0) throw new Error(`${open.length} transport(s) say they are connected after close()`);
    const late = this.#transports.flatMap(({ consumers }) => consumers).flatMap((consumer) => consumer.late);
    if (late.length > 0) throw new Error(`${late.length} handler call(s) came after the consumer was closed`);
    await assertSocketsClosed(this.#socketsBefore);
  }
}

import type { Envelope } from '../core/envelope.js';
import { EventsError } from '../core/errors.js';
import type { DeadLetter } from '../core/dead-letter.js';
import type { Delivery, RawEvent } from '../core/delivery.js';
import type { Subscription } from '../core/subscription.js';
import type {
  CollectDeadLetters,
  ConsumeRequest,
  DeadLetterCollection,
  DeadLetterQuery,
  TakeDeadLetters,
  Transport,
  TransportCapabilities,
  TransportConsumer,
  TransportEnvironment,
} from '../core/transport.js';
import { ChaosConsumer, type ChaosTools } from './chaos.consumer.js';
import type { ChaosFault } from './chaos.options.js';

/** Publishing is one scope, as a consumer is one; no consumer can have its name. */
const PUBLISHING = '';

export interface ChaosTransportTools extends Omit<ChaosTools, 'clock'> {
  readonly seed: number;
}

/** The transport it is given, with faults before and after the calls that real faults come to. */
export class ChaosTransport implements Transport {
  readonly retention?: NonNullable<Transport['retention']>;

  constructor(
    private readonly inner: Transport,
    private readonly environment: TransportEnvironment,
    private readonly tools: ChaosTransportTools,
  ) {
    if (inner.retention !== undefined) this.retention = inner.retention.bind(inner);
  }

  get kind(): string {
    return this.inner.kind;
  }

  get name(): string {
    return this.inner.name;
  }

  get capabilities(): TransportCapabilities {
    return this.inner.capabilities;
  }

  connect(): Promise<void> {
    return this.inner.connect();
  }

  async publish(envelope: Envelope): Promise<void> {
    const { dice } = this.tools;
    const { body } = this.environment.serializer.serialize(envelope.data, envelope.name);
    const { id, name, key } = envelope;
    const situation = dice.situation(PUBLISHING, { id, name, key, body });
    if (dice.hits('failBeforeSend', situation)) throw this.#failed('failBeforeSend', envelope);
    await this.inner.publish(envelope);
    if (dice.hits('failAfterConfirm', situation)) throw this.#failed('failAfterConfirm', envelope);
  }

  declare(subscriptions: readonly Subscription[]): Promise<void> {
    return this.inner.declare(subscriptions);
  }

  consume(request: ConsumeRequest): Promise<TransportConsumer> {
    const consumer = new ChaosConsumer(request, { ...this.tools, clock: this.environment.clock });
    return this.inner.consume({
      group: request.group,
      subscriptions: request.subscriptions,
      process: (delivery, slot) => consumer.process(delivery, slot),
      processBatch: (deliveries, slot) => consumer.processBatch(deliveries, slot),
      limitOf: (subscription) => request.limitOf(subscription),
      unhandled: (event, place) => request.unhandled(event, place),
    });
  }

  writeDeadLetter(letter: DeadLetter): Promise<void> {
    return this.inner.writeDeadLetter(letter);
  }

  readDeadLetters(query: DeadLetterQuery): Promise<DeadLetter[]> {
    return this.inner.readDeadLetters(query);
  }

  takeDeadLetters(request: TakeDeadLetters): Promise<void> {
    return this.inner.takeDeadLetters(request);
  }

  collectDeadLetters(request: CollectDeadLetters): Promise<DeadLetterCollection> {
    return this.inner.collectDeadLetters(request);
  }

  decode(raw: RawEvent): Delivery['content'] {
    return this.inner.decode(raw);
  }

  isConnected(): boolean {
    return this.inner.isConnected();
  }

  close(): Promise<void> {
    return this.inner.close();
  }

  #failed(fault: ChaosFault, { name: event, id, key }: Envelope): EventsError {
    this.tools.injected({ fault, event, id, ...(key === undefined ? {} : { key }) });
    const sent = fault === 'failAfterConfirm' ? 'it was sent' : 'it was not sent';
    // As from a broker: the caller cannot tell one from the other.
    return new EventsError('EVENTS_PUBLISH_TIMEOUT', `chaos lost the confirmation (${fault}: ${sent})`, {
      event,
      remedy: `Publish it again with the same id. CHAOS_SEED=${this.tools.seed} repeats this.`,
    });
  }
}

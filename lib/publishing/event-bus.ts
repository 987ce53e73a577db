import { createEnvelope, type Envelope } from '../core/envelope.js';
import { EventsError, messageOf } from '../core/errors.js';
import type { Headers } from '../core/headers.js';
import type { Report } from '../core/activity.js';
import { compose, type Middleware } from '../core/middleware.js';
import { assertPayloadSize } from '../core/payload-size.js';
import type { HandlingScope } from '../core/scope.js';
import type { Serializer } from '../core/serializer.js';
import type { TransportRegistry } from '../core/transport-registry.js';
import { outboxMissing } from '../outbox/outbox-errors.js';
import type { OutboxEntry, OutboxStore } from '../outbox/outbox-store.js';
import { delayOf, delayUnsupported, type DelayOptions } from './delay.js';

export interface PublishOptions extends DelayOptions {
  /** Events of one key are handled in order. Default: none, and no order. */
  readonly key?: string;
  /** Default: a UUID v7; inside a handler, one derived from the event it handles, so that a second run publishes the same ids. */
  readonly id?: string;
  readonly headers?: Headers;
  readonly subject?: string;
  /** When it happened, RFC 3339. Default: now. */
  readonly time?: string;
  /** Default: that of the event being handled, else the event's own id. */
  readonly correlationId?: string;
  /** The transport to use. Default: by `routes`. */
  readonly transport?: string;
  /** An open transaction (for TypeORM its EntityManager): the event is published if and only if it commits. Needs an outbox. */
  readonly manager?: unknown;
}

/** An event for {@link EventBus.publishAll}. */
export interface OutgoingEvent extends Omit<PublishOptions, 'manager'> {
  readonly name: string;
  readonly data: unknown;
}

export interface EventBusTools {
  readonly service: string;
  readonly transports: TransportRegistry;
  readonly scope: HandlingScope;
  readonly outbox: OutboxStore | undefined;
  readonly report: Report;
  readonly serializer: Serializer;
  readonly maxPayloadBytes: number;
  readonly middleware?: readonly Middleware<Envelope, void>[];
}

const IN_TRANSACTION = 'publishing in a transaction';

/** Publishes events. Injectable everywhere in an application that imports EventsModule. */
export class EventBus {
  constructor(private readonly tools: EventBusTools) {}

  /**
   * Resolves with the envelope once the broker has confirmed it; inside a transaction (a handler's own, `transactional`,
   * or `{ manager }`) once it is enrolled, and it is then published if and only if the transaction commits. With
   * `delayMs` or `notBefore` it is enrolled too, in a transaction of its own where none is open.
   *
   * Rejects with EVENTS_NAME_INVALID, EVENTS_HEADER_INVALID, EVENTS_ENVELOPE_INVALID, EVENTS_DATA_NOT_SERIALIZABLE,
   * EVENTS_PAYLOAD_TOO_LARGE, EVENTS_TRANSPORT_UNKNOWN, EVENTS_PUBLISH_TIMEOUT, EVENTS_PUBLISH_FAILED,
   * EVENTS_TRANSACTION_REQUIRED, EVENTS_OUTBOX_MISSING, EVENTS_DELAY_INVALID, EVENTS_DELAY_UNSUPPORTED.
   */
  async publish<T>(name: string, data: T, options: PublishOptions = {}): Promise<Envelope<T>> {
    const entry = this.#entry(name, data, options);
    if (this.#inTransaction(options.manager, name)) await this.#enrol([entry], options.manager);
    else if (isDelayed(entry)) await this.#enrolAlone([entry]);
    else await this.#send(entry);
    return entry.envelope;
  }

  /**
   * Publishes several, in order per key. Outside a transaction it is not atomic: when some fail it rejects with
   * EVENTS_PUBLISH_PARTIAL, whose cause is a {@link PartialPublish} with their indices.
   */
  async publishAll(events: readonly OutgoingEvent[], options: { manager?: unknown } = {}): Promise<Envelope[]> {
    const entries = events.map((event) => this.#entry(event.name, event.data, event));
    const envelopes = entries.map(({ envelope }) => envelope);
    if (this.#inTransaction(options.manager, events[0]?.name)) {
      await this.#enrol(entries, options.manager);
      return envelopes;
    }
    const delayed = entries.filter(isDelayed);
    const enrolled = this.#enrolAlone(delayed);
    const results = await Promise.allSettled(entries.map((entry) => (isDelayed(entry) ? enrolled : this.#send(entry))));
    const failures = results.flatMap((result, index) =>
      result.status === 'rejected' ? [{ index, error: result.reason as unknown }] : [],
    );
    if (failures.length > 0) throw partialPublish(failures, entries.length);
    return envelopes;
  }

  /** Runs `work` in one database transaction in which everything takes part: repositories, queries, and what is published. */
  async transactional<T>(work: () => Promise<T>): Promise<T> {
    if (this.tools.outbox === undefined) throw outboxMissing(IN_TRANSACTION);
    return this.tools.outbox.transactional(work);
  }

  /** For the relay: sends an event that was enrolled earlier, as it is. */
  async publishEnrolled(entry: OutboxEntry): Promise<void> {
    await this.#send(entry);
  }

  #entry<T>(name: string, data: T, options: PublishOptions): OutboxEntry & { readonly envelope: Envelope<T> } {
    const delay = delayOf(options, name);
    if (delay !== undefined && this.tools.outbox === undefined) throw delayUnsupported(name);
    const envelope = this.#envelope(name, data, options);
    return { envelope, transport: this.#transportFor(envelope, options.transport), ...delay };
  }

  #envelope<T>(name: string, data: T, options: PublishOptions): Envelope<T> {
    const { scope, service } = this.tools;
    const cause = scope.current()?.envelope;
    const id = options.id ?? scope.nextEventId();
    const correlationId = options.correlationId ?? cause?.correlationId ?? cause?.id;
    const envelope = createEnvelope({
      name,
      data,
      source: service,
      ...defined('id', id),
      ...defined('key', options.key),
      ...defined('subject', options.subject),
      ...defined('time', options.time),
      ...defined('headers', options.headers),
      ...defined('correlationId', correlationId),
      ...defined('causationId', cause?.id),
    });
    return envelope.correlationId === undefined ? { ...envelope, correlationId: envelope.id } : envelope;
  }

  #transportFor(envelope: Envelope, name: string | undefined): string {
    const { transports } = this.tools;
    return (name === undefined ? transports.forName(envelope.name) : transports.get(name)).name;
  }

  #inTransaction(manager: unknown, event: string | undefined): boolean {
    if (manager === undefined) return this.tools.outbox?.isTransactionOpen() ?? false;
    if (this.tools.outbox === undefined) throw outboxMissing(IN_TRANSACTION, event);
    return true;
  }

  async #enrol(entries: readonly OutboxEntry[], manager: unknown): Promise<void> {
    const { serializer, maxPayloadBytes } = this.tools;
    // What no transport would take must fail the transaction, not wait in the outbox for ever.
    for (const { envelope } of entries) {
      assertPayloadSize(serializer.serialize(envelope.data, envelope.name).body, maxPayloadBytes, envelope.name);
    }
    await this.tools.outbox?.enrol(entries, manager);
    for (const { envelope } of entries) {
      this.tools.report({ type: 'enrolled', event: envelope.name, id: envelope.id });
    }
  }

  /** In a transaction of its own. */
  async #enrolAlone(entries: readonly OutboxEntry[]): Promise<void> {
    if (entries.length === 0) return;
    await this.tools.outbox?.transactional(() => this.#enrol(entries, undefined));
  }

  async #send({ envelope, transport }: OutboxEntry): Promise<void> {
    const send = compose(this.tools.middleware ?? [], (each: Envelope) =>
      this.tools.transports.get(transport).publish(each),
    );
    await send(envelope);
    this.tools.report({ type: 'published', event: envelope.name, id: envelope.id, transport });
  }
}

/** The cause of EVENTS_PUBLISH_PARTIAL: which events of a publishAll failed, by their index, and why. The others are published. */
export class PartialPublish extends AggregateError {
  override readonly name = 'PartialPublish';

  constructor(readonly failures: readonly { readonly index: number; readonly error: unknown }[]) {
    super(
      failures.map(({ error }) => error),
      failures.map(({ index, error }) => `[${index}] ${messageOf(error)}`).join('; '),
    );
  }
}

function partialPublish(failures: readonly { index: number; error: unknown }[], total: number): EventsError {
  const indices = failures.map(({ index }) => index).join(', ');
  return new EventsError(
    'EVENTS_PUBLISH_PARTIAL',
    `${failures.length} of ${total} events were not published: ${indices}`,
    {
      cause: new PartialPublish(failures),
      remedy:
        'Publish those again with the same ids (see cause.failures), or use transactional() to make it all or nothing.',
    },
  );
}

function isDelayed({ delayMs, notBefore }: OutboxEntry): boolean {
  return delayMs !== undefined || notBefore !== undefined;
}

function defined<K extends string, V>(name: K, value: V | undefined): Partial<Record<K, V>> {
  return value === undefined ? {} : ({ [name]: value } as Record<K, V>);
}

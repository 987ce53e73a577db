import type { ConfirmChannel, Message, Options } from 'amqplib';
import type { Clock } from '../../core/clock.js';
import { EventsError } from '../../core/errors.js';
import { Fifo } from '../../core/fifo.js';
import type { EventsLogger } from '../../core/logger.js';
import { HealingChannel } from './rabbitmq.channel.js';
import { backoffMs, type HealingConnection } from './rabbitmq.connection.js';
import {
  brokerText,
  isAlreadyClosed,
  notEncodable,
  publishRefusal,
  publishRefused,
  publishTimeout,
  transportClosed,
} from './rabbitmq.errors.js';

/** What may be on its way to the broker at the same time: it bounds amqplib's buffers, and what is sent twice after a disconnect. */
const MAX_UNCONFIRMED = 1_000;
const MAX_UNCONFIRMED_BYTES = 16 * 1_024 * 1_024;

export interface OutgoingMessage {
  readonly exchange: string;
  readonly routingKey: string;
  readonly body: Buffer;
  /** With `mandatory`, or it will always seem routed. */
  readonly properties: Options.Publish;
  /** The event's name, for messages. */
  readonly event?: string | undefined;
}

/** Confirmed both times; `unroutable` means that no queue wanted it. */
export type Confirmation = 'routed' | 'unroutable';

export interface PublisherOptions {
  readonly transport: string;
  readonly connection: HealingConnection;
  readonly clock: Clock;
  readonly logger: EventsLogger;
  readonly publishTimeoutMs: number;
  /** Declares what is published to, on each new channel. */
  readonly declare: (channel: ConfirmChannel) => Promise<void>;
}

interface Pending {
  readonly message: OutgoingMessage;
  readonly resolve: (confirmation: Confirmation) => void;
  readonly reject: (error: unknown) => void;
  cancelDeadline: () => void;
  settled: boolean;
  returned: boolean;
  refusals: number;
}

/**
 * Publishes in the order of the calls and resolves each once the broker has confirmed it. While there is no channel,
 * or the broker blocks, or too much is unconfirmed, calls wait for their turn. What was sent and not confirmed when
 * a channel is lost is sent again first, in the same order. Each call has until its deadline.
 */
export class Publisher {
  readonly #waiting = new Fifo<Pending>();
  /** What was sent on the channel, by its sequence number, which the broker confirms. */
  readonly #unconfirmed = new Map<number, Pending>();
  readonly #idle = new Set<() => void>();
  readonly #healing: HealingChannel<ConfirmChannel>;
  #channel: ConfirmChannel | undefined;
  #sequence = 0;
  #bytes = 0;
  #open = 0;
  #closing = false;
  #trouble: unknown;
  #started: { resolve: () => void; reject: (error: unknown) => void } | undefined;

  constructor(private readonly options: PublisherOptions) {
    const { connection, clock } = options;
    this.#healing = new HealingChannel({
      connection,
      clock,
      open: (model) => model.createConfirmChannel(),
      setup: (channel) => this.#setUp(channel),
      lost: (channel, error) => this.#lost(channel, error),
      failed: (error) => this.#failed(error),
    });
    connection.onUnblocked(() => this.#pump());
  }

  /** Resolves when the first channel is ready; throws when what it publishes to is refused. */
  start(): Promise<void> {
    const ready = new Promise<void>((resolve, reject) => (this.#started = { resolve, reject }));
    this.#healing.start();
    return ready;
  }

  /** Throws EVENTS_PUBLISH_TIMEOUT, EVENTS_PUBLISH_FAILED, EVENTS_PAYLOAD_TOO_LARGE, EVENTS_TRANSPORT_CLOSED. */
  publish(message: OutgoingMessage): Promise<Confirmation> {
    if (this.#closing) return Promise.reject(transportClosed(this.options.transport));
    return new Promise((resolve, reject) => {
      const { clock, publishTimeoutMs } = this.options;
      const pending: Pending = {
        message,
        resolve,
        reject,
        settled: false,
        returned: false,
        refusals: 0,
        cancelDeadline: clock.after(publishTimeoutMs, () => this.#expire(pending)),
      };
      this.#open++;
      this.#waiting.push(pending);
      this.#pump();
    });
  }

  /** Waits for what is under way, at most until its deadlines, then leaves. */
  async close(): Promise<void> {
    this.#closing = true;
    if (this.#open > 0) await new Promise<void>((resolve) => this.#idle.add(resolve));
    await this.#healing.close();
  }

  async #setUp(channel: ConfirmChannel): Promise<void> {
    channel.on('return', (message) => this.#returned(message));
    channel.on('ack', ({ deliveryTag, multiple }) =>
      this.#confirmed(deliveryTag, multiple, (each) => this.#succeed(each)),
    );
    channel.on('nack', ({ deliveryTag, multiple }) =>
      this.#confirmed(deliveryTag, multiple, (each) => this.#again(each)),
    );
    await this.options.declare(channel);
    this.#channel = channel;
    this.#sequence = 0;
    this.#trouble = undefined;
    this.#started?.resolve();
    this.#pump();
  }

  #pump(): void {
    while (this.#unconfirmed.size < MAX_UNCONFIRMED && this.#bytes < MAX_UNCONFIRMED_BYTES) {
      const next = this.#waiting.peek();
      if (next === undefined || this.#channel === undefined || this.options.connection.blocked !== undefined) return;
      if (!next.settled && !this.#send(this.#channel, next)) return;
      this.#waiting.shift();
    }
  }

  /** Returns `false` when the channel turns out to be closed: the message keeps its place. */
  #send(channel: ConfirmChannel, pending: Pending): boolean {
    const { exchange, routingKey, body, properties } = pending.message;
    this.options.connection.gather();
    try {
      channel.publish(exchange, routingKey, body, properties);
    } catch (error) {
      if (isAlreadyClosed(error)) {
        this.#channel = undefined;
        return false;
      }
      this.#fail(pending, notEncodable(error, pending.message.event));
      return true;
    }
    this.#unconfirmed.set(++this.#sequence, pending);
    this.#bytes += body.length;
    return true;
  }

  /** n.b. an unroutable message is returned first and then confirmed like any other. Returns come in the order of sending. */
  #returned({ fields, properties }: Message): void {
    for (const pending of this.#unconfirmed.values()) {
      const { message } = pending;
      if (pending.returned || message.routingKey !== fields.routingKey) continue;
      if (message.properties.messageId !== (properties.messageId as unknown)) continue;
      pending.returned = true;
      return;
    }
  }

  #confirmed(tag: number, multiple: boolean, settle: (pending: Pending) => void): void {
    for (const each of multiple ? this.#unconfirmed.keys() : [tag]) {
      if (each > tag) break;
      const pending = this.#unconfirmed.get(each);
      if (pending === undefined) continue;
      this.#unconfirmed.delete(each);
      this.#bytes -= pending.message.body.length;
      if (!pending.settled) settle(pending);
    }
    this.#pump();
  }

  /** The broker could not take it (a queue is full, or lost its leader): again, behind what was sent meanwhile. */
  #again(pending: Pending): void {
    const { cancelDeadline } = pending;
    const cancelWait = this.options.clock.after(backoffMs(++pending.refusals), () => {
      pending.cancelDeadline = cancelDeadline;
      pending.returned = false;
      this.#waiting.push(pending);
      this.#pump();
    });
    pending.cancelDeadline = () => {
      cancelWait();
      cancelDeadline();
    };
  }

  #lost(channel: ConfirmChannel, error: unknown): void {
    if (this.#channel === channel) this.#channel = undefined;
    this.#trouble = error;
    const unsent = this.#waiting.clear();
    const unconfirmed = [...this.#unconfirmed.values()];
    this.#unconfirmed.clear();
    this.#bytes = 0;
    for (const pending of unconfirmed) {
      pending.returned = false;
      const reason = publishRefusal(error, pending.message);
      if (reason !== undefined) this.#fail(pending, reason);
      else if (!pending.settled) this.#waiting.push(pending);
    }
    for (const pending of unsent) this.#waiting.push(pending);
  }

  #failed(error: unknown): void {
    if (String(this.#trouble) !== String(error)) {
      this.options.logger.warn(`${this.options.transport}: no channel to publish on: ${brokerText(error)}`);
    }
    this.#trouble = error;
    if (error instanceof EventsError) this.#started?.reject(error);
  }

  #expire(pending: Pending): void {
    const { message, refusals } = pending;
    const { publishTimeoutMs, transport } = this.options;
    const waited = { event: message.event, transport, publishTimeoutMs, cause: this.#trouble };
    this.#fail(pending, refusals > 0 ? publishRefused(refusals, waited) : publishTimeout(this.#state(), waited));
  }

  #state(): string {
    const { connected, blocked } = this.options.connection;
    if (!connected) return 'there is no connection';
    if (blocked !== undefined) return `RabbitMQ blocks publishing: ${blocked}`;
    if (this.#channel === undefined) return `there is no channel: ${brokerText(this.#trouble)}`;
    return 'the confirmation is missing';
  }

  #succeed(pending: Pending): void {
    if (this.#settle(pending)) pending.resolve(pending.returned ? 'unroutable' : 'routed');
  }

  #fail(pending: Pending, error: unknown): void {
    if (this.#settle(pending)) pending.reject(error);
  }

  #settle(pending: Pending): boolean {
    if (pending.settled) return false;
    pending.settled = true;
    pending.cancelDeadline();
    this.#open--;
    if (this.#open === 0) for (const done of this.#idle) done();
    return true;
  }
}

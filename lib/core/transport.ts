import type { Report } from './activity.js';
import type { Clock } from './clock.js';
import type { DeadLetter, DeadLetterBody } from './dead-letter.js';
import type { Delivery, Place, RawEvent } from './delivery.js';
import type { Envelope } from './envelope.js';
import type { Slot } from './lanes.js';
import type { Limit } from './limit.js';
import type { EventsLogger } from './logger.js';
import type { OnMissingId } from './missing-id.js';
import type { Serializer } from './serializer.js';
import type { Subscription } from './subscription.js';
import type { WindowLimits } from './window.js';

/** What a transport can promise. The conformance suite holds it to its word, and the module refuses what it cannot keep. */
export interface TransportCapabilities {
  /** Confirmed events survive the end of this process. */
  readonly durable: boolean;
  /** Order per key holds across the instances of a group, not only within one. */
  readonly orderAcrossInstances: boolean;
}

/** What a transport is given to work with. */
export interface TransportEnvironment {
  /** The service's name: the default group, and how connections introduce themselves. */
  readonly service: string;
  readonly clock: Clock;
  readonly logger: EventsLogger;
  readonly serializer: Serializer;
  /** What becomes of an event without an id. Default `dead-letter`; hand it to `fromCloudEvent`. */
  readonly onMissingId?: OnMissingId | undefined;
  readonly report: Report;
  /** How long a publish may wait for its confirmation. */
  readonly publishTimeoutMs: number;
  /** Largest body in bytes; larger ones are refused before they are sent. */
  readonly maxPayloadBytes: number;
  /** What may be in flight per partition or queue. */
  readonly window: WindowLimits;
  /** Whether NODE_ENV is `production`. */
  readonly production: boolean;
  /** The body of a dead letter. `original` (default): that of the event. `json`: a description of it, see `toDeadLetterJson`. */
  readonly deadLetterBody?: DeadLetterBody | undefined;
}

/** What `kafka({…})` and its likes return: options checked, nothing started. */
export interface TransportDefinition {
  readonly kind: string;
  readonly name: string;
  create(environment: TransportEnvironment): Transport;
}

/**
 * The adapter to one broker. To add one, implement this and pass `test/conformance`.
 *
 * Your part: talk to the broker, map envelopes, keep lanes (order per key) and windows, reconnect, hand over deliveries
 * and acknowledge when told, report `transport-…` and `consumer-…` activities. Not your part: retries, outcomes, when to write a dead letter, deduplication.
 */
export interface Transport {
  readonly kind: string;
  readonly name: string;
  readonly capabilities: TransportCapabilities;

  /**
   * Makes publishing possible. Retries while the broker is away, up to a limit, then throws EVENTS_TRANSPORT_UNREACHABLE;
   * refused credentials throw EVENTS_TRANSPORT_UNAUTHORIZED at once. Later disconnects heal without a call.
   */
  connect(): Promise<void>;

  /** Resolves once the broker has confirmed that it keeps the event. Rejects when it did not, or may not have, within `publishTimeoutMs`. */
  publish(envelope: Envelope): Promise<void>;

  /** Makes sure that events published from now on reach these subscriptions, though nobody consumes yet: nothing is lost at start. */
  declare(subscriptions: readonly Subscription[]): Promise<void>;

  /** Starts handing deliveries of one group to `request.process`. Resolves when events published from now on will arrive. */
  consume(request: ConsumeRequest): Promise<TransportConsumer>;

  /** Resolves once the broker has confirmed the dead letter, where {@link readDeadLetters} finds it. */
  writeDeadLetter(letter: DeadLetter): Promise<void>;

  /** Reads dead letters of one handler without removing them, oldest first; none twice, though it may have been written twice. */
  readDeadLetters(query: DeadLetterQuery): Promise<DeadLetter[]>;

  /**
   * Hands the dead letters of one handler that are there now to `visit`, oldest first, one after another, and removes those
   * for which it resolves with `remove`. The others stay as they are, also when it rejects or `signal` aborts.
   */
  takeDeadLetters(request: TakeDeadLetters): Promise<void>;

  /** Hands dead letters over as they land, and removes them once that has resolved. Resolves when it has begun. */
  collectDeadLetters(request: CollectDeadLetters): Promise<DeadLetterCollection>;

  /** The event in raw bytes, as consumers of this transport decode it. Needs no connection. */
  decode(raw: RawEvent): Delivery['content'];

  /**
   * Optional: how long the broker keeps the events of these subscriptions at most, so that they may be read again.
   * `undefined` when it does not say; rejects when it refuses to.
   */
  retention?(subscriptions: readonly Subscription[]): Promise<TransportRetention | undefined>;

  /** Whether the connection works right now. */
  isConnected(): boolean;

  /** Waits for publishes under way, then leaves. Consumers have been closed before. */
  close(): Promise<void>;
}

export interface TransportRetention {
  /** In milliseconds; `Infinity`: without end. */
  readonly ms: number;
  /** What keeps them, in the broker's words and with its name: `the topic "orders.order"`. */
  readonly where: string;
  /** What sets it, in the broker's words: `retention.ms`. */
  readonly setting: string;
}

export interface DeadLetterQuery {
  readonly group: string;
  readonly handler: string;
  /** Default 1,000. */
  readonly limit?: number;
}

export interface TakeDeadLetters extends Pick<DeadLetterQuery, 'group' | 'handler'> {
  readonly visit: (letter: DeadLetter) => Promise<'remove' | 'keep'>;
  /** Aborted: no more of them. */
  readonly signal: AbortSignal;
}

export interface CollectDeadLetters {
  readonly group: string;
  /** Ids of the group's handlers, and their former ones. */
  readonly handlers: readonly string[];
  /** Keeps them durably. What rejects is handed over again after a pause; nothing is removed before. */
  collect(letters: readonly DeadLetter[]): Promise<void>;
}

/** A collection under way. */
export interface DeadLetterCollection {
  /** Ends it; what is not collected stays with the broker. */
  close(): Promise<void>;
}

export interface ConsumeRequest {
  readonly group: string;
  readonly subscriptions: readonly Subscription[];
  /**
   * Takes a delivery to its end. Never throws; resolves when the delivery is settled or released. Call it from a lane:
   * one delivery of a (handler, key) at a time, in order, at most `subscription.concurrency` at once per handler.
   */
  process(delivery: Delivery, slot: Slot): Promise<void>;
  /**
   * The same for a handler that takes batches: runs decoded deliveries together and settles or releases what it can.
   * Returns those that have to go through {@link process}, in order, before anything else of their keys. Call it, too,
   * from lanes: no key in two batches at a time.
   */
  processBatch(deliveries: readonly Delivery[], slot: Slot): Promise<readonly Delivery[]>;
  /** How many deliveries of a handler may run now; hand it to the lanes. A breaker that is open says none. */
  limitOf(subscription: Subscription): Limit;
  /** Tells that a consumed event matches no handler of the group; settle it. */
  unhandled(event: string, place: Place): void;
}

/** Running subscriptions of one group on one transport. */
export interface TransportConsumer {
  /** Takes nothing new from the broker, starts nothing that waits, wakes what is parked. */
  stop(): Promise<void>;
  /** Resolves when everything that runs is settled and the broker knows. Call after {@link stop}. */
  drain(): Promise<void>;
  /** Leaves the broker; what is not settled will be delivered again. */
  close(): Promise<void>;
}

import { Window, type WindowLimits } from '../../core/window.js';
import type { KafkaDelivery, KafkaInFlight, PartitionStay } from './kafka.delivery.js';
import type { RecordPlace } from './kafka.mapper.js';

/** The deliveries of a lost partition that still ran, by offset: what comes back waits for them. */
export type Orphans = ReadonlyMap<number, readonly KafkaDelivery[]>;

/**
 * One stay of a partition with this consumer, from its assignment until it is lost: what is in flight and what may be
 * committed. Offsets are numbers: 2^53 of them last for 285 years at a million a second.
 */
export class KafkaPartition implements PartitionStay, RecordPlace {
  readonly transport: string;
  readonly topic: string;
  readonly partition: number;
  readonly #window: Window<number>;
  readonly #lost = new AbortController();
  readonly #inFlight = new Set<KafkaInFlight>();
  #start: number | undefined;
  #accepted = -1;
  #committed: number | undefined;
  #rejoined = false;

  constructor(
    { transport, topic, partition }: RecordPlace,
    private readonly options: { readonly window: WindowLimits; readonly orphans?: Orphans | undefined },
  ) {
    this.transport = transport;
    this.topic = topic;
    this.partition = partition;
    this.#window = new Window(options.window);
  }

  /** Aborted when the partition belongs to someone else. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  get full(): boolean {
    return this.#window.full;
  }

  /** What may be committed: below it everything is settled. `undefined` before the first record. */
  get position(): number | undefined {
    const settled = this.#window.position;
    return settled === undefined ? this.#start : settled + 1;
  }

  get uncommitted(): number | undefined {
    const { position } = this;
    return position === this.#start || position === this.#committed ? undefined : position;
  }

  /** The group has been joined again: its position will be fetched again. */
  rejoined(): void {
    this.#rejoined = true;
  }

  /**
   * Whether a batch comes from another log than those before: it is shorter than what was accepted, or it begins again
   * without a rejoin. A topic that was deleted and made anew counts from 0.
   */
  isNewLog(first: number, end: number): boolean {
    const again = first <= this.#accepted && !this.#rejoined;
    this.#rejoined = false;
    return again || end <= this.#accepted;
  }

  /** After a rejoin the group's position is fetched again: what has been accepted is in flight or settled. */
  hasAccepted(offset: number): boolean {
    return offset <= this.#accepted;
  }

  /** Takes the next record, for so many handlers; with none it is settled already. */
  accept(offset: number, bytes: number, handlers: number): KafkaInFlight {
    this.#start ??= offset;
    this.#accepted = offset;
    const entry = this.#window.enter(offset, bytes);
    const record: KafkaInFlight = { stay: this, offset, deliveries: [], entry, unsettled: handlers };
    if (handlers === 0) this.#window.settle(entry);
    else this.#inFlight.add(record);
    return record;
  }

  /** One of its handlers is done with it. */
  acknowledged(record: KafkaInFlight): void {
    if (--record.unsettled > 0) return;
    this.#inFlight.delete(record);
    this.#window.settle(record.entry);
  }

  /** The delivery of the same record to the same handler that outlived the last stay here. */
  earlier(offset: number, handler: string): KafkaDelivery | undefined {
    const { orphans } = this.options;
    return orphans?.get(offset)?.find((delivery) => delivery.subscription.handler === handler);
  }

  /** Resolves when there is room, or when the signal aborts. */
  room(signal: AbortSignal): Promise<void> {
    return this.#window.room(signal);
  }

  committed(position: number): void {
    this.#committed = position;
  }

  lose(): Orphans {
    this.#lost.abort();
    const orphans = new Map<number, readonly KafkaDelivery[]>();
    for (const [offset, deliveries] of this.options.orphans ?? []) {
      if (deliveries.some((delivery) => !delivery.hasEnded)) orphans.set(offset, deliveries);
    }
    // What was accepted here waits for those itself.
    for (const { offset, deliveries } of this.#inFlight) orphans.set(offset, deliveries);
    return orphans;
  }
}

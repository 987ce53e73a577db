import type { Delivery, RawEvent } from '../../core/delivery.js';
import type { Slot } from '../../core/lanes.js';
import type { Subscription } from '../../core/subscription.js';
import type { WatermarkEntry } from '../../core/watermark.js';

/** How often a delivery looks whether the earlier run of its record has ended; it holds no place meanwhile. */
const LOOK_AGAIN_MS = 20;

/** What a delivery needs of its partition, for as long as that stays here. */
export interface PartitionStay {
  readonly lost: AbortSignal;
  /** One of the record's handlers is done with it. */
  acknowledged(record: KafkaInFlight): void;
}

/** A record that has been accepted: settled when each of its handlers has acknowledged it. */
export interface KafkaInFlight {
  readonly stay: PartitionStay;
  readonly offset: number;
  readonly deliveries: KafkaDelivery[];
  readonly entry: WatermarkEntry<number>;
  unsettled: number;
}

export interface KafkaDeliveryInit {
  readonly subscription: Subscription;
  readonly content: Delivery['content'];
  readonly raw: RawEvent;
  readonly record: KafkaInFlight;
  /** The same record and handler in an earlier stay of the partition, if that still runs. */
  readonly earlier: KafkaDelivery | undefined;
}

/** A record on its way to one of its handlers. */
export class KafkaDelivery implements Delivery {
  readonly subscription: Subscription;
  readonly content: Delivery['content'];
  readonly raw: RawEvent;
  readonly lost: AbortSignal;
  /** Kafka does not count. */
  readonly redelivered = false;
  readonly mayBeRedelivered = true;
  readonly #record: KafkaInFlight;
  #earlier: KafkaDelivery | undefined;
  #acknowledged = false;
  #released = false;

  constructor({ subscription, content, raw, record, earlier }: KafkaDeliveryInit) {
    this.subscription = subscription;
    this.content = content;
    this.raw = raw;
    this.lost = record.stay.lost;
    this.#record = record;
    this.#earlier = earlier;
  }

  /** An earlier run may still do the work. */
  get alone(): boolean {
    return this.#earlier !== undefined;
  }

  get isAcknowledged(): boolean {
    return this.#acknowledged;
  }

  /** Nothing of it runs or will run. */
  get hasEnded(): boolean {
    return this.#acknowledged || this.#released;
  }

  acknowledge(): void {
    if (this.hasEnded) return;
    this.#acknowledged = true;
    this.#record.stay.acknowledged(this.#record);
  }

  /** The watermark stays below the record; the group's next member to get the partition starts there. */
  release(): void {
    this.#released = true;
  }

  /** Runs it, unless its partition is gone, or an earlier run that outlived the partition's last stay does the work. */
  process(run: (delivery: Delivery, slot: Slot) => Promise<void>, slot: Slot): Promise<void> {
    return this.#earlier === undefined && !this.lost.aborted ? run(this, slot) : this.#processLate(run, slot);
  }

  async #processLate(run: (delivery: Delivery, slot: Slot) => Promise<void>, slot: Slot): Promise<void> {
    while (this.#earlier?.hasEnded === false) if (!(await slot.park(LOOK_AGAIN_MS))) return this.release();
    if (this.#earlier?.isAcknowledged === true) return this.acknowledge();
    this.#earlier = undefined;
    return this.lost.aborted ? this.release() : run(this, slot);
  }
}

import type { Channel, Message } from 'amqplib';
import { Watermark, type WatermarkEntry } from '../../core/watermark.js';
import { isAlreadyClosed } from './rabbitmq.errors.js';

/** A delivery tag that waits for its outcome. */
export type DeliveryTag = WatermarkEntry<number>;

/**
 * Tells the broker the outcomes of one channel's deliveries, gathered per turn of the event loop: one `ack(multiple)`
 * for everything below the lowest tag that is still open, and single acks above it, so that a parked delivery does
 * not hold the prefetch of the others. Tags mean nothing on another channel: each channel has its own acknowledger.
 */
export class Acknowledger {
  readonly #watermark = new Watermark<number>();
  #settled: number[] = [];
  #released: number[] = [];
  #scheduled = false;
  #open = true;

  /** How many deliveries have no outcome yet. */
  pending = 0;

  /** `gather` is called before frames are written. */
  constructor(
    private readonly channel: Pick<Channel, 'ack' | 'nack'>,
    private readonly gather: () => void = () => undefined,
  ) {}

  /** Notes a delivery. Call it in the order of arrival. */
  received(tag: number): DeliveryTag {
    this.pending++;
    return this.#watermark.add(tag);
  }

  acknowledge(tag: DeliveryTag): void {
    this.#settle(tag, this.#settled);
  }

  /** Gives a delivery back to its queue, behind what is in it. */
  release(tag: DeliveryTag): void {
    this.#settle(tag, this.#released);
  }

  /** The channel is gone, and its tags with it. */
  lost(): void {
    this.#open = false;
  }

  /** Writes what is settled and not yet told. */
  flush(): void {
    const [settled, released] = [this.#settled, this.#released];
    this.#settled = [];
    this.#released = [];
    if (!this.#open || settled.length + released.length === 0) return;
    try {
      this.gather();
      this.#tell(settled, released);
    } catch (error) {
      // The channel is being closed: the broker gives back what it was not told of.
      if (!isAlreadyClosed(error)) throw error;
      this.#open = false;
    }
  }

  #tell(settled: readonly number[], released: readonly number[]): void {
    // First what is given back: the ack(multiple) below would acknowledge it.
    for (const tag of released) this.channel.nack(messageOf(tag), false, true);
    const watermark = this.#watermark.position ?? 0;
    let highest = 0;
    for (const tag of settled) {
      if (tag > watermark) this.channel.ack(messageOf(tag));
      else highest = Math.max(highest, tag);
    }
    // n.b. the watermark itself may have been told before, and the broker closes the channel for a tag it does not know
    if (highest > 0) this.channel.ack(messageOf(highest), true);
  }

  #settle(tag: DeliveryTag, as: number[]): void {
    if (!this.#open || tag.settled) return;
    this.pending--;
    this.#watermark.settle(tag);
    as.push(tag.position);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.flush();
    });
  }
}

/** amqplib takes the tag from a whole message. */
function messageOf(deliveryTag: number): Message {
  return { fields: { deliveryTag } } as Message;
}

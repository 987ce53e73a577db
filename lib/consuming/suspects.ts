import { envelopeOf, type Delivery } from '../core/delivery.js';
import { consumerName } from '../core/subscription.js';

export interface SuspectsOptions {
  /** When this process began to look, in milliseconds since the Unix epoch: what was published later was not in flight. */
  readonly since: number;
  /** How many deliveries of one handler and partition or queue may have been in flight. */
  readonly window: number;
  /** How many processes have ended uncleanly. */
  readonly processes: number;
}

/** So many unclean stops without an end are no coincidence, and perhaps the clock of a publisher is ahead. */
const CLOCKS_NOT_TRUSTED_FROM = 5;

/**
 * Which deliveries may have been in flight when a process ended uncleanly: published before, handed over before as far as
 * the broker tells, and within the first window of their place. What is said of a delivery does not change.
 */
export class Suspects {
  readonly #said = new WeakMap<Delivery, boolean>();
  readonly #notNoted = new WeakMap<Delivery, number>();
  readonly #seen = new Map<string, number>();
  #over = false;

  constructor(private readonly options: SuspectsOptions) {}

  has(delivery: Delivery): boolean {
    let said = this.#said.get(delivery);
    if (said === undefined && this.#over) return false;
    if (said === undefined) this.#said.set(delivery, (said = this.#mayHaveBeenInFlight(delivery)));
    return said;
  }

  /** What comes from now on is none. What waits for its next attempt still is one. */
  end(): void {
    this.#over = true;
    this.#seen.clear();
  }

  get over(): boolean {
    return this.#over;
  }

  /** How often this has been said of the delivery before. */
  failedToNote(delivery: Delivery): number {
    const before = this.#notNoted.get(delivery) ?? 0;
    this.#notNoted.set(delivery, before + 1);
    return before;
  }

  #mayHaveBeenInFlight(delivery: Delivery): boolean {
    if (!delivery.redelivered && delivery.mayBeRedelivered !== true) return false;
    if (!this.#isOld(delivery)) return false;
    const { transport, address, partition } = delivery.raw.place;
    const place = JSON.stringify([transport, address, partition, consumerName(delivery.subscription)]);
    const seen = this.#seen.get(place) ?? 0;
    this.#seen.set(place, seen + 1);
    return seen < this.options.window;
  }

  /** What cannot be decoded is not run. */
  #isOld(delivery: Delivery): boolean {
    const { since, processes } = this.options;
    const envelope = envelopeOf(delivery);
    if (envelope === undefined) return false;
    const publishedAt = delivery.raw.place.timestamp ?? Date.parse(envelope.time);
    return processes >= CLOCKS_NOT_TRUSTED_FROM || !(publishedAt > since);
  }
}

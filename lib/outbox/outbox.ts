import { outboxMissing } from './outbox-errors.js';
import type { OutboxLag, OutboxStore, ParkedEvent, ParkedQuery } from './outbox-store.js';

/** The outbox, for those who watch and operate it. Injectable; without an outbox its methods throw EVENTS_OUTBOX_MISSING. */
export class Outbox {
  constructor(private readonly store: OutboxStore | undefined) {}

  /** How much waits, and for how long: what to watch, and to alert on. */
  async lag(): Promise<OutboxLag> {
    return this.#need().lag();
  }

  /** Events that were taken out after too many failures, oldest first. */
  async parked(query: ParkedQuery = {}): Promise<ParkedEvent[]> {
    return this.#need().parked(query);
  }

  /** Puts parked events back, to be published with their old ids, at once, and behind what of their key was published meanwhile. Returns how many there were. */
  async release(ids: readonly string[]): Promise<number> {
    return this.#need().release(ids);
  }

  /** Deletes parked events: they will never be published. Returns how many there were. */
  async discard(ids: readonly string[]): Promise<number> {
    return this.#need().discard(ids);
  }

  #need(): OutboxStore {
    if (this.store === undefined) throw outboxMissing('looking into the outbox');
    return this.store;
  }
}

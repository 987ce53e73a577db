import { Ambient } from './ambient.js';
import type { Attempt } from './delivery.js';
import { uuidFrom } from './uuid.js';

/** The attempt whose handler is running, and how many events it has published. */
interface Handling {
  readonly attempt: Attempt;
  published: number;
}

/** Which attempt the running code belongs to, across awaits. One per application: two apps in one process do not see each other's. */
export class HandlingScope {
  readonly #handling = new Ambient<Handling>();

  run<T>(attempt: Attempt, work: () => T): T {
    return this.#handling.run({ attempt, published: 0 }, work);
  }

  current(): Attempt | undefined {
    return this.#handling.current()?.attempt;
  }

  /**
   * The id of the next event that the running handler publishes, derived from the event it handles, its group and id and
   * the count: a second run publishes the same ids, and consumers recognise the duplicates. `undefined` outside handlers.
   */
  nextEventId(): string | undefined {
    const handling = this.#handling.current();
    if (handling === undefined) return undefined;
    const { envelope, subscription } = handling.attempt;
    const seed = [envelope.source, envelope.id, subscription.group, subscription.handler, handling.published++];
    return uuidFrom(JSON.stringify(seed));
  }
}

import { sleep, within, type Clock } from '../core/clock.js';
import { SerialQueue } from '../typeorm/serial-queue.js';
import type { IdempotencyKey } from './idempotency-store.js';
import { duplicateBusy } from './running-keys.js';

/**
 * The database waits 100 ms for another process (remember_event in the schema); then this one pauses and asks again, so
 * that waiters give their connection back meanwhile.
 */
const MIN_PAUSE_MS = 100;
const MAX_PAUSE_MS = 400;

/** Another transaction has written the id; it is still open, or has committed since this one began. */
export class HandledElsewhere extends Error {
  readonly committed: boolean;

  constructor(cause: unknown, { committed }: { readonly committed: boolean }) {
    super('the event is being handled by another process', { cause });
    this.committed = committed;
  }
}

/** Begins a transaction, asks whether the event is new, says `answered`, and goes on. Throws {@link HandledElsewhere}. */
export type Ask<T> = (answered: () => void) => Promise<T>;

/**
 * Asks again while another process handles an event. However many wait, only one of them asks at a time, so that they
 * keep one connection busy and leave the others to events that can go on.
 */
export class Patience {
  readonly #turns = new SerialQueue();

  constructor(
    private readonly clock: Clock,
    private readonly waitMs: number,
  ) {}

  /** Throws EVENTS_DUPLICATE_BUSY when it takes longer than the limit. */
  async with<T>(keys: readonly IdempotencyKey[], ask: Ask<T>): Promise<T> {
    const deadline = this.clock.now() + this.waitMs;
    let answered = (): void => undefined;
    for (let pauseMs = MIN_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS)) {
      try {
        return await ask(answered);
      } catch (error) {
        answered();
        if (!(error instanceof HandledElsewhere)) throw error;
        const busy = (): Error => duplicateBusy(keys, this.waitMs, error.cause);
        if (this.clock.now() >= deadline) throw busy();
        if (!error.committed) await sleep(this.clock, Math.min(pauseMs, deadline - this.clock.now()));
        const turn = await this.#turnBefore(deadline);
        if (turn === undefined) throw busy();
        answered = turn;
      }
    }
  }

  /** Ends the turn when called. `undefined`: it did not come in time. */
  async #turnBefore(deadline: number): Promise<(() => void) | undefined> {
    const turn = new Promise<() => void>((resolve) => {
      void this.#turns.run(() => new Promise<void>((end) => resolve(end)));
    });
    // One more time at the very end of the wait, but not after those of others.
    if (await within(this.clock, Math.max(deadline - this.clock.now(), 1), turn)) return turn;
    void turn.then((end) => end());
    return undefined;
  }
}

import { within, type Clock } from '../core/clock.js';
import { EventsError } from '../core/errors.js';
import type { IdempotencyKey, OnceResult } from './idempotency-store.js';

/**
 * Lets one call per key run in this process. The others wait for it in memory, without a connection, so that any number
 * of duplicates leaves the pool alone.
 */
export class RunningKeys {
  /** Whether the call that runs will have handled the event. */
  readonly #running = new Map<string, Promise<boolean>>();

  constructor(
    private readonly clock: Clock,
    private readonly waitMs: number,
  ) {}

  /** Runs `first`, or skips it when a call that ran meanwhile has handled the event. Throws EVENTS_DUPLICATE_BUSY. */
  async once<T>(key: IdempotencyKey, first: () => Promise<OnceResult<T>>): Promise<OnceResult<T>> {
    const name = JSON.stringify([key.consumer, key.eventId]);
    const deadline = this.clock.now() + this.waitMs;
    for (let other = this.#running.get(name); other !== undefined; other = this.#running.get(name)) {
      const leftMs = deadline - this.clock.now();
      if (leftMs <= 0 || !(await within(this.clock, leftMs, other))) throw duplicateBusy(key, this.waitMs);
      if (await other) return { duplicate: true };
    }
    const run = first();
    const forget = (handled: boolean): boolean => {
      this.#running.delete(name);
      return handled;
    };
    this.#running.set(
      name,
      run.then(
        () => forget(true),
        () => forget(false),
      ),
    );
    return run;
  }
}

/** The event is being handled elsewhere and that takes long: not this event's fault, it waits and comes again. */
export function duplicateBusy(key: IdempotencyKey, waitMs: number, cause?: unknown): EventsError {
  return new EventsError(
    'EVENTS_DUPLICATE_BUSY',
    `event id ${JSON.stringify(key.eventId)} is being handled for "${key.consumer}" by another delivery, which did not end within ${waitMs} ms`,
    { cause, remedy: 'It is tried again later; raise waitMs where handlers usually take longer.' },
  );
}

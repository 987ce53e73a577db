import { within, type Clock } from '../core/clock.js';
import { EventsError } from '../core/errors.js';
import type { IdempotencyKey, OnceAllResult, OnceResult } from './idempotency-store.js';

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
    const name = nameOf(key);
    const deadline = this.clock.now() + this.waitMs;
    for (let other = this.#running.get(name); other !== undefined; other = this.#running.get(name)) {
      if (await this.#handledBy(other, key, deadline)) return { duplicate: true };
    }
    return this.#run([name], first());
  }

  /**
   * The same for several keys: `first` gets the positions of those that no call has handled meanwhile. It starts when
   * none of them runs elsewhere and then takes them all at once, so that two calls never hold what the other waits for.
   */
  async onceAll<T>(
    keys: readonly IdempotencyKey[],
    first: (open: readonly number[]) => Promise<OnceAllResult<T>>,
  ): Promise<OnceAllResult<T>> {
    const open = new Map<string, number>();
    for (const [position, key] of keys.entries()) {
      const name = nameOf(key);
      if (!open.has(name)) open.set(name, position);
    }
    const deadline = this.clock.now() + this.waitMs;
    for (let busy = this.#busyOf(open); busy !== undefined; busy = this.#busyOf(open)) {
      // Looked up now: once it has ended, nothing tells which of them it has handled.
      const theirs = [...open.keys()].filter((name) => this.#running.get(name) === busy.other);
      if (!(await this.#handledBy(busy.other, keys[busy.position] as IdempotencyKey, deadline))) continue;
      for (const name of theirs) open.delete(name);
    }
    if (open.size === 0) return { fresh: [], value: undefined };
    return this.#run([...open.keys()], first([...open.values()]));
  }

  #busyOf(open: ReadonlyMap<string, number>): Busy | undefined {
    for (const [name, position] of open) {
      const other = this.#running.get(name);
      if (other !== undefined) return { position, other };
    }
    return undefined;
  }

  /** Waits for the call that runs: whether it has handled the event. */
  async #handledBy(other: Promise<boolean>, key: IdempotencyKey, deadline: number): Promise<boolean> {
    const leftMs = deadline - this.clock.now();
    if (leftMs <= 0 || !(await within(this.clock, leftMs, other))) throw duplicateBusy([key], this.waitMs);
    return other;
  }

  #run<T>(names: readonly string[], run: Promise<T>): Promise<T> {
    const forget = (handled: boolean): boolean => {
      for (const name of names) this.#running.delete(name);
      return handled;
    };
    const handled = run.then(
      () => forget(true),
      () => forget(false),
    );
    for (const name of names) this.#running.set(name, handled);
    return run;
  }
}

interface Busy {
  readonly position: number;
  readonly other: Promise<boolean>;
}

const nameOf = ({ consumer, eventId }: IdempotencyKey): string => JSON.stringify([consumer, eventId]);

/** The event is being handled elsewhere and that takes long: not this event's fault, it waits and comes again. */
export function duplicateBusy(keys: readonly IdempotencyKey[], waitMs: number, cause?: unknown): EventsError {
  const [key] = keys as [IdempotencyKey];
  const what =
    keys.length === 1 ? `event id ${JSON.stringify(key.eventId)}` : `one of ${keys.length} events of a batch`;
  return new EventsError(
    'EVENTS_DUPLICATE_BUSY',
    `${what} is being handled for "${key.consumer}" by another delivery, which did not end within ${waitMs} ms`,
    { cause, remedy: 'It is tried again later; raise waitMs where handlers usually take longer.' },
  );
}

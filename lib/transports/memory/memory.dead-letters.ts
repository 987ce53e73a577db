import { sleep, type Clock } from '../../core/clock.js';
import type { DeadLetter } from '../../core/dead-letter.js';
import { doubled } from '../../core/doubling.js';
import { messageOf } from '../../core/errors.js';
import { printable, type EventsLogger } from '../../core/logger.js';
import type { CollectDeadLetters, DeadLetterCollection, TakeDeadLetters } from '../../core/transport.js';
import { Waiters } from '../../core/waiters.js';

const MAX_BATCH = 100;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10_000;

/** Of one handler, in the order they came; one that is written again keeps its place. */
export class MemoryDeadLetters {
  readonly #letters = new Map<string, DeadLetter>();
  readonly #arrived = new Waiters();
  /** Whoever takes some has them alone. */
  #turn: Promise<unknown> = Promise.resolve();

  add(letter: DeadLetter): void {
    this.#letters.set(letter.id, letter);
    this.#arrived.wake();
  }

  all(): DeadLetter[] {
    return [...this.#letters.values()];
  }

  take({ visit, signal }: Pick<TakeDeadLetters, 'visit' | 'signal'>): Promise<void> {
    return this.#alone(async () => {
      for (const letter of this.all()) {
        if (signal.aborted) return;
        if ((await visit(letter)) === 'remove') this.#remove(letter);
      }
    });
  }

  /** Hands them over as they come, until the signal aborts. */
  async collect({ collect }: Pick<CollectDeadLetters, 'collect'>, tools: CollectingTools): Promise<void> {
    const { clock, logger, signal } = tools;
    for (let failures = 0; !signal.aborted;) {
      try {
        await this.#alone(() => this.#collectOnce(collect));
        failures = 0;
        if (this.#letters.size === 0) await this.#arrived.wait(signal);
      } catch (error) {
        const afterMs = doubled(FIRST_PAUSE_MS, failures++, LONGEST_PAUSE_MS);
        logger.warn(`dead letters could not be collected, next try in ${afterMs} ms: ${printable(messageOf(error))}`);
        await sleep(clock, afterMs, signal);
      }
    }
  }

  async #collectOnce(collect: CollectDeadLetters['collect']): Promise<void> {
    const batch = this.all().slice(0, MAX_BATCH);
    if (batch.length > 0) await collect(batch);
    for (const letter of batch) this.#remove(letter);
  }

  /** Not one that was written anew meanwhile. */
  #remove(letter: DeadLetter): void {
    if (this.#letters.get(letter.id) === letter) this.#letters.delete(letter.id);
  }

  #alone(work: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }
}

export interface CollectingTools {
  readonly clock: Clock;
  readonly logger: EventsLogger;
  readonly signal: AbortSignal;
}

/** Collects those of several handlers side by side. */
export function collectAll(
  places: readonly MemoryDeadLetters[],
  request: CollectDeadLetters,
  tools: Omit<CollectingTools, 'signal'>,
): DeadLetterCollection {
  const closing = new AbortController();
  const collecting = places.map((place) => place.collect(request, { ...tools, signal: closing.signal }));
  return {
    close: async () => {
      closing.abort();
      await Promise.all(collecting);
    },
  };
}

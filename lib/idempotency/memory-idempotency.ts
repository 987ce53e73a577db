import { EventsError } from '../core/errors.js';
import type { StoreEnvironment } from '../core/store.js';
import type { IdempotencyDefinition, IdempotencyKey, IdempotencyStore, OnceResult } from './idempotency-store.js';
import { RunningKeys } from './running-keys.js';

export interface MemoryIdempotencyOptions {
  /** How many events are remembered; beyond that the oldest are forgotten. Default 100,000 (about 15 MB). */
  readonly maxEntries?: number;
  /** How long a simultaneous second delivery waits for the first, in milliseconds. Default 5,000. */
  readonly waitMs?: number;
  /** Allows it with NODE_ENV=production, where what was handled is forgotten at every restart. Default false. */
  readonly allowMemory?: boolean;
}

/**
 * Remembers handled events in this process: for tests and first steps. Another process does not know of them, and the
 * effect is not in one transaction with the record: a crash in between leads to a second effect.
 */
export function memoryIdempotency(options: MemoryIdempotencyOptions = {}): IdempotencyDefinition {
  return {
    create(environment) {
      if (environment.production && options.allowMemory !== true) throw refused();
      return new MemoryIdempotency(options, environment);
    },
  };
}

class MemoryIdempotency implements IdempotencyStore {
  /** A Set keeps the order of insertion: the first is the oldest. */
  readonly #handled = new Set<string>();
  readonly #running: RunningKeys;
  readonly #maxEntries: number;

  constructor(options: MemoryIdempotencyOptions, environment: StoreEnvironment) {
    this.#maxEntries = options.maxEntries ?? 100_000;
    this.#running = new RunningKeys(environment.clock, options.waitMs ?? 5_000);
  }

  async prepare(): Promise<void> {
    // Nothing to make ready.
  }

  async once<T>(key: IdempotencyKey, effect: () => Promise<T>): Promise<OnceResult<T>> {
    return this.#running.once(key, async () => {
      const names = [key.consumer, ...key.aliases];
      if (names.some((name) => this.#handled.has(entryOf(name, key.eventId)))) return { duplicate: true };
      const value = await effect();
      this.#remember(entryOf(key.consumer, key.eventId));
      return { duplicate: false, value };
    });
  }

  #remember(entry: string): void {
    this.#handled.add(entry);
    for (const oldest of this.#handled) {
      if (this.#handled.size <= this.#maxEntries) return;
      this.#handled.delete(oldest);
    }
  }
}

const entryOf = (consumer: string, eventId: string): string => JSON.stringify([consumer, eventId]);

function refused(): EventsError {
  return new EventsError(
    'EVENTS_MEMORY_IN_PRODUCTION',
    'memoryIdempotency() forgets everything when the process ends',
    {
      remedy: 'Use typeormIdempotency(), or say memoryIdempotency({ allowMemory: true }) if second effects do no harm.',
    },
  );
}

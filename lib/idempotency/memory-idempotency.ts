import { EventsError } from '../core/errors.js';
import type { StoreEnvironment } from '../core/store.js';
import type {
  IdempotencyDefinition,
  IdempotencyKey,
  IdempotencyStore,
  OnceAllResult,
  OnceResult,
} from './idempotency-store.js';
import { checkIdempotencyOptions, DEFAULT_WAIT_MS, type IdempotencyOptions } from './idempotency-options.js';
import { RunningKeys } from './running-keys.js';

export interface MemoryIdempotencyOptions extends IdempotencyOptions {
  /** How many events are remembered; beyond that the oldest are forgotten. Default 100,000 (about 15 MB). */
  readonly maxEntries?: number;
  /** Allows it with NODE_ENV=production, where what was handled is forgotten at every restart. Default false. */
  readonly allowMemory?: boolean;
}

/**
 * Remembers handled events in this process: for tests and first steps. Another process does not know of them, and the
 * effect is not in one transaction with the record: a crash in between leads to a second effect.
 */
export function memoryIdempotency(options: MemoryIdempotencyOptions = {}): IdempotencyDefinition {
  checkIdempotencyOptions('memoryIdempotency()', options, ['maxEntries', 'allowMemory']);
  return {
    onMissingId: options.onMissingId,
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
    this.#running = new RunningKeys(environment.clock, options.waitMs ?? DEFAULT_WAIT_MS);
  }

  async prepare(): Promise<void> {
    // Nothing to make ready.
  }

  async once<T>(key: IdempotencyKey, effect: () => Promise<T>): Promise<OnceResult<T>> {
    return this.#running.once(key, async () => {
      if (this.#isHandled(key)) return { duplicate: true };
      const value = await effect();
      this.#remember(key);
      return { duplicate: false, value };
    });
  }

  async onceAll<T>(
    keys: readonly IdempotencyKey[],
    effect: (fresh: readonly number[]) => Promise<T>,
  ): Promise<OnceAllResult<T>> {
    const keyAt = (position: number): IdempotencyKey => keys[position] as IdempotencyKey;
    return this.#running.onceAll(keys, async (open) => {
      const fresh = open.filter((position) => !this.#isHandled(keyAt(position)));
      if (fresh.length === 0) return { fresh, value: undefined };
      const value = await effect(fresh);
      for (const position of fresh) this.#remember(keyAt(position));
      return { fresh, value };
    });
  }

  #isHandled({ consumer, aliases, eventId }: IdempotencyKey): boolean {
    return [consumer, ...aliases].some((name) => this.#handled.has(entryOf(name, eventId)));
  }

  #remember({ consumer, aliases, eventId }: IdempotencyKey): void {
    // Former names too: an instance that still has one sees the event as handled.
    for (const name of [consumer, ...aliases]) this.#handled.add(entryOf(name, eventId));
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

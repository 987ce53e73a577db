import { AsyncLocalStorage } from 'node:async_hooks';
import { within, type Clock } from '../core/clock.js';
import { EventsError } from '../core/errors.js';
import type { StoreEnvironment } from '../core/store.js';
import { MemoryEntry } from './memory-entry.js';
import { transactionRequired } from './outbox-errors.js';
import type {
  OutboxDefinition,
  OutboxEntry,
  OutboxLag,
  OutboxStore,
  ParkedEvent,
  ParkedQuery,
  RelayRequest,
  RelayResult,
} from './outbox-store.js';

export interface MemoryOutboxOptions {
  /** Allows it with NODE_ENV=production, where what is not published yet is lost with the process. Default false. */
  readonly allowMemory?: boolean;
}

/**
 * Keeps events of `eventBus.transactional(…)` in this process and publishes them when its work has resolved: for tests of
 * code that uses an outbox. It undoes nothing but the publishing; there is no database to be in one transaction with.
 */
export function memoryOutbox(options: MemoryOutboxOptions = {}): OutboxDefinition {
  return {
    create(environment) {
      if (environment.production && options.allowMemory !== true) throw refused();
      return new MemoryOutbox(environment);
    },
  };
}

/** What a transaction has enrolled so far. */
interface OpenTransaction {
  readonly entries: MemoryEntry[];
  ended: boolean;
}

type Watcher = (transports: readonly string[]) => void;

class MemoryOutbox implements OutboxStore {
  readonly #clock: Clock;
  readonly #transactions = new AsyncLocalStorage<OpenTransaction>();
  readonly #watchers = new Set<Watcher>();
  /** In the order of commits. */
  #entries: MemoryEntry[] = [];

  constructor(environment: StoreEnvironment) {
    this.#clock = environment.clock;
  }

  async prepare(): Promise<void> {
    // Nothing to make ready.
  }

  isTransactionOpen(): boolean {
    return this.#transactions.getStore() !== undefined;
  }

  async transactional<T>(work: () => Promise<T>): Promise<T> {
    const outer = this.#transactions.getStore();
    const transaction: OpenTransaction = { entries: [], ended: false };
    try {
      const result = await this.#transactions.run(transaction, work);
      if (outer === undefined) this.#commit(transaction.entries);
      else outer.entries.push(...transaction.entries);
      return result;
    } finally {
      transaction.ended = true;
    }
  }

  async enrol(entries: readonly OutboxEntry[], manager?: unknown): Promise<void> {
    const transaction = this.#transactions.getStore();
    if (transaction === undefined || manager !== undefined) {
      throw transactionRequired(manager === undefined ? 'no transaction is open here' : 'this outbox takes no handles');
    }
    if (transaction.ended) throw transactionEnded();
    const now = this.#clock.now();
    // All before any: what has no stored form must not leave the others behind.
    transaction.entries.push(...entries.map((entry) => new MemoryEntry(entry, now)));
  }

  async relay({ transport, limit, leaseMs, publish }: RelayRequest): Promise<RelayResult> {
    const due = this.#due(transport);
    const taken = due.slice(0, limit);
    if (taken.length > 0) {
      for (const entry of taken) entry.held = true;
      const answers = publish(taken);
      // Whoever holds entries for longer loses them; what it answers then comes too late.
      const inTime = await within(this.#clock, leaseMs, answers);
      for (const entry of taken) entry.held = false;
      if (inTime) this.#apply(taken, await answers);
    }
    return { taken: taken.length, more: due.length > taken.length, nextDueInMs: this.#nextDueInMs(transport) };
  }

  watch(watcher: Watcher): () => Promise<void> {
    this.#watchers.add(watcher);
    return async () => void this.#watchers.delete(watcher);
  }

  async transports(): Promise<readonly string[]> {
    return [...new Set(this.#entries.filter(({ parkedAt }) => parkedAt === undefined).map((each) => each.transport))];
  }

  async lag(): Promise<OutboxLag> {
    const now = this.#clock.now();
    const parked = this.#entries.filter(({ parkedAt }) => parkedAt !== undefined);
    const delayed = this.#entries.filter((entry) => entry.isDelayed(now));
    const waiting = this.#entries.filter((entry) => !parked.includes(entry) && !delayed.includes(entry));
    const since = waiting.map((entry) => entry.waitsSince);
    return {
      waiting: waiting.length,
      oldestAgeMs: waiting.length === 0 ? undefined : now - Math.min(...since),
      delayed: delayed.length,
      parked: parked.length,
    };
  }

  async parked({ limit = 100, offset = 0 }: ParkedQuery): Promise<ParkedEvent[]> {
    return this.#entries.flatMap((entry) => entry.toParked() ?? []).slice(offset, offset + limit);
  }

  async release(ids: readonly string[]): Promise<number> {
    const found = this.#parkedOnes(ids);
    for (const entry of found) entry.release();
    if (found.length > 0) this.#hint(found.map(({ transport }) => transport));
    return found.length;
  }

  async discard(ids: readonly string[]): Promise<number> {
    const found = new Set(this.#parkedOnes(ids));
    this.#entries = this.#entries.filter((entry) => !found.has(entry));
    return found.size;
  }

  #commit(entries: readonly MemoryEntry[]): void {
    if (entries.length === 0) return;
    this.#entries.push(...entries);
    this.#hint(entries.map(({ transport }) => transport));
  }

  #hint(transports: readonly string[]): void {
    for (const watcher of this.#watchers) watcher([...new Set(transports)]);
  }

  /** In order, without what is behind an entry of its line that is held or waits. */
  #due(transport: string): MemoryEntry[] {
    const now = this.#clock.now();
    const blocked = new Set<string>();
    return this.#entries.filter((entry) => {
      if (entry.transport !== transport || entry.parkedAt !== undefined) return false;
      const isFree = !entry.held && entry.dueAt <= now && (entry.line === undefined || !blocked.has(entry.line));
      if (!isFree && entry.line !== undefined) blocked.add(entry.line);
      return isFree;
    });
  }

  #nextDueInMs(transport: string): number | undefined {
    const now = this.#clock.now();
    const times = this.#entries.flatMap((entry) =>
      entry.transport === transport && entry.parkedAt === undefined && entry.dueAt > now ? [entry.dueAt] : [],
    );
    return times.length === 0 ? undefined : Math.min(...times) - now;
  }

  #apply(taken: readonly MemoryEntry[], answers: Awaited<ReturnType<RelayRequest['publish']>>): void {
    const now = this.#clock.now();
    const published = new Set<MemoryEntry>();
    for (const [index, entry] of taken.entries()) {
      const answer = answers[index];
      if (answer?.type === 'published') published.add(entry);
      else if (answer?.type === 'failed' || answer?.type === 'parked') entry.failed(answer, now);
    }
    this.#entries = this.#entries.filter((entry) => !published.has(entry));
  }

  #parkedOnes(ids: readonly string[]): MemoryEntry[] {
    return this.#entries.filter(({ id, parkedAt }) => parkedAt !== undefined && ids.includes(id));
  }
}

function refused(): EventsError {
  return new EventsError('EVENTS_MEMORY_IN_PRODUCTION', 'memoryOutbox() loses what is not published with the process', {
    remedy: 'Use typeormOutbox(), or say memoryOutbox({ allowMemory: true }) where losing events is fine.',
  });
}

function transactionEnded(): EventsError {
  return new EventsError('EVENTS_TRANSACTION_ENDED', 'the transaction this code ran in is over', {
    remedy: 'Await everything that transactional() starts before its work returns.',
  });
}

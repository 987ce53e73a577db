import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import { storeEnvironment } from '../../test/support/store-environment.js';
import { EventsError } from '../core/errors.js';
import type { IdempotencyKey, IdempotencyStore, OnceAllResult, OnceResult } from '../idempotency/idempotency-store.js';
import { memoryIdempotency } from '../idempotency/memory-idempotency.js';
import { idempotencyStoreContract } from './idempotency-store.contract.js';
import type { IdempotencyStoreHarness } from './idempotency-store.harness.js';

describe('the memory store keeps the contract', () => {
  const create = (): IdempotencyStoreHarness => ({
    store: memoryIdempotency({ waitMs: 1_000 }).create(storeEnvironment()),
  });
  for (const { name, run } of idempotencyStoreContract(create)) test(name, run);
});

/**
 * A store as one writes it in an afternoon: it looks, runs the effect, and inserts. Each variant breaks one rule, and
 * that rule has to notice.
 */
class NaiveStore implements IdempotencyStore {
  protected readonly seen = new Set<string>();

  async prepare(): Promise<void> {
    // Nothing to make ready.
  }

  async once<T>(key: IdempotencyKey, effect: () => Promise<T>): Promise<OnceResult<T>> {
    if (await this.isSeen(key)) return { duplicate: true };
    const value = await effect();
    this.remember(key);
    return { duplicate: false, value };
  }

  async onceAll<T>(
    keys: readonly IdempotencyKey[],
    effect: (fresh: readonly number[]) => Promise<T>,
  ): Promise<OnceAllResult<T>> {
    const fresh: number[] = [];
    for (const [index, key] of keys.entries()) if (!(await this.isSeen(key))) fresh.push(index);
    const value = fresh.length > 0 ? await effect(fresh) : undefined;
    for (const key of keys) this.remember(key);
    return { fresh, value };
  }

  protected nameOf({ consumer, eventId }: IdempotencyKey): string {
    return JSON.stringify([consumer, eventId]);
  }

  protected remember(key: IdempotencyKey): void {
    this.seen.add(this.nameOf(key));
  }

  protected async isSeen(key: IdempotencyKey): Promise<boolean> {
    await sleep(1); // the way to a database
    return this.seen.has(this.nameOf(key));
  }
}

/** Writes the key first, and forgets to take it back. */
class NeverForgets extends NaiveStore {
  override async once<T>(key: IdempotencyKey, effect: () => Promise<T>): Promise<OnceResult<T>> {
    if (this.seen.has(this.nameOf(key))) return { duplicate: true };
    this.remember(key);
    return { duplicate: false, value: await effect() };
  }
}

class SwallowsErrors extends NaiveStore {
  override async once<T>(key: IdempotencyKey, effect: () => Promise<T>): Promise<OnceResult<T>> {
    return super.once(key, async () => effect().catch(() => undefined as T));
  }
}

class WrapsErrors extends NaiveStore {
  override async once<T>(key: IdempotencyKey, effect: () => Promise<T>): Promise<OnceResult<T>> {
    return super.once(key, async () =>
      effect().catch((cause: unknown) => {
        throw new Error('the effect failed', { cause });
      }),
    );
  }
}

class JoinsNames extends NaiveStore {
  protected override nameOf({ consumer, eventId }: IdempotencyKey): string {
    return `${consumer}.${eventId}`;
  }
}

class IgnoresCase extends NaiveStore {
  protected override nameOf({ consumer, eventId }: IdempotencyKey): string {
    return JSON.stringify([consumer, eventId.toLowerCase()]);
  }
}

/** Says "busy" instead of waiting: the first one may yet fail. */
class NeverWaits extends NeverForgets {
  readonly #running = new Set<string>();

  override async once<T>(key: IdempotencyKey, effect: () => Promise<T>): Promise<OnceResult<T>> {
    const name = this.nameOf(key);
    if (this.#running.has(name)) return { duplicate: true };
    this.#running.add(name);
    try {
      return await super.once(key, effect);
    } finally {
      this.#running.delete(name);
    }
  }
}

/** One at a time, whatever the key. */
class TakesTurns extends NaiveStore {
  #tail: Promise<unknown> = Promise.resolve();

  override async once<T>(key: IdempotencyKey, effect: () => Promise<T>): Promise<OnceResult<T>> {
    const turn = this.#tail.then(() => super.once(key, effect));
    this.#tail = turn.catch(() => undefined);
    let done = false;
    const busy = sleep(1_000).then(() => {
      if (!done) throw new EventsError('EVENTS_DUPLICATE_BUSY', 'busy', { remedy: 'Wait.' });
      return turn;
    });
    return Promise.race([turn.finally(() => (done = true)), busy]);
  }
}

describe('a store that breaks the contract is found out', () => {
  const broken: [string, new () => IdempotencyStore, string][] = [
    ['looks first and inserts later', NaiveStore, '20 deliveries of one event at the same time have one effect'],
    [
      'does not forget what failed',
      NeverForgets,
      'an effect that throws is forgotten, and its error comes back as it was',
    ],
    ['swallows errors', SwallowsErrors, 'an effect that throws is forgotten, and its error comes back as it was'],
    ['wraps errors', WrapsErrors, 'an effect that throws is forgotten, and its error comes back as it was'],
    ['joins names', JoinsNames, 'consumer and id are not mixed up where they meet'],
    ['ignores case', IgnoresCase, 'ids are compared exactly as given'],
    [
      'does not know former names',
      NaiveStore,
      'what was handled under a former name is a duplicate, and what is handled now is one for the former name',
    ],
    ['takes a repeated event for two', NaiveStore, 'an event that occurs twice in a batch is new the first time'],
    ['does not wait', NeverWaits, 'a second delivery waits for the first, and is a duplicate only once that is done'],
    ['handles one event at a time', TakesTurns, 'other events are handled while many wait for one'],
    ['lets batches overlap', NaiveStore, 'batches that overlap in opposite order have one effect for each event'],
  ];

  test.each(broken)('one that %s', async (_, Store, name) => {
    const found = idempotencyStoreContract(() => ({ store: new Store() })).find((each) => each.name === name);
    if (found === undefined) throw new Error(`there is no case "${name}"`);
    await expect(found.run()).rejects.toThrow();
  });

  test('a harness is made for each case when it runs, and closed whatever comes of it', async () => {
    const log: string[] = [];
    const create = (): IdempotencyStoreHarness => {
      log.push('made');
      return { store: new NaiveStore(), close: () => log.push('closed') };
    };
    const cases = idempotencyStoreContract(create);
    expect(log).toEqual([]);
    await Promise.allSettled(cases.slice(0, 2).map(({ run }) => run()));
    expect(log).toEqual(['made', 'made', 'closed', 'closed']);
    expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length);
  });
});

import { describe, expect, test } from '@jest/globals';
import { ManualClock } from '../../test/support/manual-clock.js';
import { RecordingLogger } from '../../test/support/recording-logger.js';
import type { StoreEnvironment } from '../core/store.js';
import type { IdempotencyKey } from './idempotency-store.js';
import { memoryIdempotency, type MemoryIdempotencyOptions } from './memory-idempotency.js';

const key = (eventId: string, rest: Partial<IdempotencyKey> = {}): IdempotencyKey => ({
  consumer: 'shop.mail',
  aliases: [],
  eventId,
  ...rest,
});

function setUp(options: MemoryIdempotencyOptions = {}, production = false) {
  const clock = new ManualClock();
  const environment: StoreEnvironment = {
    clock,
    logger: new RecordingLogger(),
    report: () => undefined,
    production,
    resolve: () => undefined,
  };
  return { store: memoryIdempotency(options).create(environment), clock };
}

describe('memoryIdempotency', () => {
  test('skips what was handled, per consumer and former name', async () => {
    const { store } = setUp();
    expect(await store.once(key('1'), async () => 'a')).toEqual({ duplicate: false, value: 'a' });
    expect(await store.once(key('1'), async () => 'b')).toEqual({ duplicate: true });
    expect(await store.once(key('1', { consumer: 'x', aliases: ['shop.mail'] }), async () => 'b')).toEqual({
      duplicate: true,
    });
    expect(await store.once(key('1', { consumer: 'x' }), async () => 'c')).toEqual({ duplicate: false, value: 'c' });
  });

  test('forgets what failed, with the error as it was', async () => {
    const { store } = setUp();
    const failure = new Error('failed');
    await expect(store.once(key('1'), () => Promise.reject(failure))).rejects.toBe(failure);
    expect(await store.once(key('1'), async () => 'a')).toMatchObject({ duplicate: false });
  });

  test('a simultaneous second waits, is skipped, or runs when the first failed', async () => {
    const { store } = setUp();
    let fail = (_: Error): void => undefined;
    const first = store.once(key('1'), () => new Promise((_, reject) => (fail = reject)));
    let runs = 0;
    const others = Array.from({ length: 10 }, () => store.once(key('1'), async () => ++runs));
    fail(new Error('failed'));
    await expect(first).rejects.toThrow('failed');
    const results = await Promise.all(others);
    expect(runs).toBe(1);
    expect(results.filter(({ duplicate }) => duplicate)).toHaveLength(9);
  });

  test('several at once: only the new ones, and all of them or none', async () => {
    const { store } = setUp();
    await store.once(key('2'), async () => undefined);
    const keys = ['1', '2', '3', '1'].map((id) => key(id));
    await expect(store.onceAll(keys, () => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
    const effect = async (fresh: readonly number[]): Promise<string> => fresh.join();
    expect(await store.onceAll(keys, effect)).toEqual({ fresh: [0, 2], value: '0,2' });
    expect(await store.onceAll(keys, effect)).toEqual({ fresh: [], value: undefined });
    expect(await store.once(key('3'), async () => 'again')).toEqual({ duplicate: true });
  });

  test('refuses options it cannot use', () => {
    const invalid = expect.objectContaining({ code: 'EVENTS_OPTIONS_INVALID' });
    expect(() => memoryIdempotency({ waitMs: 0 })).toThrow(invalid);
    expect(() => memoryIdempotency({ maxSize: 1 } as MemoryIdempotencyOptions)).toThrow(invalid);
    expect(() => memoryIdempotency({ onMissingId: 'guess' as 'hash' })).toThrow(invalid);
  });

  test('the wait is bounded', async () => {
    const { store, clock } = setUp({ waitMs: 100 });
    void store.once(key('1'), () => new Promise(() => undefined));
    const second = store.once(key('1'), async () => 'b');
    const expected = expect(second).rejects.toMatchObject({ code: 'EVENTS_DUPLICATE_BUSY' });
    await clock.advanceAsync(100);
    await expected;
  });

  test('forgets the oldest when it is full', async () => {
    const { store } = setUp({ maxEntries: 2 });
    for (const id of ['1', '2', '3']) await store.once(key(id), async () => undefined);
    expect(await store.once(key('3'), async () => 'again')).toEqual({ duplicate: true });
    expect(await store.once(key('1'), async () => 'again')).toMatchObject({ duplicate: false });
  });

  test('is refused in production, unless allowed', () => {
    expect(() => setUp({}, true)).toThrow(expect.objectContaining({ code: 'EVENTS_MEMORY_IN_PRODUCTION' }));
    expect(() => setUp({ allowMemory: true }, true)).not.toThrow();
  });
});

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { DataSource } from 'typeorm';
import type { IdempotencyKey, IdempotencyStore } from '../../lib/idempotency/idempotency-store.js';
import { typeormIdempotency, type TypeormIdempotencyOptions } from '../../lib/typeorm.js';
import { eventually, Gate } from '../support/eventually.js';
import { Effect, TypeormWorld } from '../support/typeorm-world.js';
import { withBroker } from '../support/brokers.js';

const keys = (ids: readonly string[], rest: Partial<IdempotencyKey> = {}): IdempotencyKey[] =>
  ids.map((eventId) => ({ consumer: 'shop.views', aliases: [], eventId, ...rest }));
const range = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, n) => `e${String(from + n).padStart(4, '0')}`);

withBroker('postgres', 'DATABASE_URL', (url) => {
  describe('several events in one transaction', () => {
    let world: TypeormWorld;
    let store: IdempotencyStore;

    const open = async (dataSource: DataSource, options: TypeormIdempotencyOptions = {}): Promise<IdempotencyStore> => {
      const opened = typeormIdempotency({ dataSource, schema: world.schema, ...options }).create(world.environment());
      await opened.prepare();
      return opened;
    };
    /** Writes an effect for each new event. */
    const write = async (
      through: IdempotencyStore,
      dataSource: DataSource,
      ids: readonly string[],
    ): Promise<readonly number[]> => {
      const { fresh } = await through.onceAll(keys(ids), (positions) =>
        dataSource.getRepository(Effect).insert(positions.map((position) => ({ id: ids[position] as string }))),
      );
      return fresh;
    };

    beforeEach(async () => {
      world = await TypeormWorld.open(url);
      store = await open(world.dataSource);
    });
    afterEach(() => world.close());

    test('only the new ones are handed over, by their positions; a key that occurs twice is new the first time', async () => {
      await store.once(keys(['b'])[0] as IdempotencyKey, () => Promise.resolve());
      expect(await write(store, world.dataSource, ['c', 'b', 'a', 'c'])).toEqual([0, 2]);
      expect(await world.effects()).toEqual(['a', 'c']);
      const nothing = await store.onceAll(keys(['a', 'b']), () => Promise.reject(new Error('ran')));
      expect(nothing).toEqual({ fresh: [], value: undefined });
      expect(await store.onceAll([], () => Promise.reject(new Error('ran')))).toEqual({ fresh: [], value: undefined });
    });

    test('an effect that throws leaves nothing of any of them, and its error comes back as it was', async () => {
      const failure = new Error('one of them is bad');
      const failed = store.onceAll(keys(range(0, 100)), async () => {
        await world.dataSource.getRepository(Effect).insert({ id: 'half' });
        throw failure;
      });
      await expect(failed).rejects.toBe(failure);
      expect([await world.effects(), await world.count('processed_events')]).toEqual([[], 0]);
      expect(await write(store, world.dataSource, range(0, 100))).toHaveLength(100);
    });

    test('another consumer has them too, a former name of this one has not', async () => {
      await write(store, world.dataSource, ['a', 'b']);
      const ask = async (rest: Partial<IdempotencyKey>): Promise<readonly number[]> =>
        (await store.onceAll(keys(['a', 'b', 'c'], rest), () => Promise.resolve())).fresh;
      expect(await ask({ consumer: 'shop.clicks' })).toEqual([0, 1, 2]);
      expect(await ask({ consumer: 'shop.pages', aliases: ['shop.views', 'shop.older'] })).toEqual([2]);
      // Under all names, so that an instance that still has the former one sees them as handled.
      expect(await ask({})).toEqual([]);
    });

    test('an id the database cannot hold is a bad event: nothing runs', async () => {
      const run = store.onceAll(keys(['a', 'b\u0000']), () => Promise.reject(new Error('ran')));
      await expect(run).rejects.toMatchObject({ code: 'EVENTS_ENVELOPE_INVALID' });
      expect(await world.count('processed_events')).toBe(0);
    });

    test('batches that overlap, in any order, in two processes: no deadlock, each event once', async () => {
      // A deadlock is found before the wait for the row ends.
      const quick = { extra: { options: '-c deadlock_timeout=5ms' } };
      const stores = await Promise.all([0, 1].map(async () => open(await world.connect(quick), { waitMs: 20_000 })));
      const batches = Array.from({ length: 6 }, (_, n) => range(n * 1_000, n * 1_000 + 3_000));
      const fresh = await Promise.all(
        batches.flatMap((ids) =>
          stores.map(async (each, n) => {
            const result = await each.onceAll(keys(n === 0 ? ids : ids.toReversed()), () => Promise.resolve());
            return result.fresh.length;
          }),
        ),
      );
      expect(fresh.reduce((sum, count) => sum + count, 0)).toBe(8_000);
      expect(await world.count('processed_events')).toBe(8_000);
    });

    test('a batch waits for the single delivery that has one of its events, without a connection', async () => {
      const small = await world.connect({ poolSize: 1, extra: { connectionTimeoutMillis: 1_000 } });
      const through = await open(small);
      const gate = new Gate();
      const [first] = keys(['b']) as [IdempotencyKey];
      const single = through.once(first, () => gate.passed);
      const batch = through.onceAll(keys(['a', 'b', 'c']), (fresh) => Promise.resolve(fresh));
      // The pool has one connection: while the single delivery keeps it, the batch must not ask for another.
      await new Promise((resolve) => setTimeout(resolve, 50));
      gate.open();
      await single;
      expect(await batch).toEqual({ fresh: [0, 2], value: [0, 2] });
    });

    test('one that is busy elsewhere for too long: the batch gives up for now, and keeps none of the others', async () => {
      const gate = new Gate();
      const started = new Gate();
      const first = store.onceAll(keys(['b']), async () => {
        started.open();
        await gate.passed;
      });
      await started.passed;
      const otherSource = await world.connect();
      const other = await open(otherSource, { waitMs: 150 });
      await expect(write(other, otherSource, ['a', 'b'])).rejects.toMatchObject({
        code: 'EVENTS_DUPLICATE_BUSY',
        message: expect.stringContaining('one of 2 events of a batch') as unknown,
      });
      expect(await write(other, otherSource, ['a'])).toEqual([0]);
      gate.open();
      await first;
      await eventually(async () => (await write(other, otherSource, ['a', 'b'])).length === 0);
    });
  });
});

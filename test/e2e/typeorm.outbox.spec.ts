import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { DataSource, EntityManager } from 'typeorm';
import { createEnvelope } from '../../lib/core/envelope.js';
import type { OutboxEntry, OutboxStore } from '../../lib/outbox/outbox-store.js';
import { typeormIdempotency, typeormOutbox } from '../../lib/typeorm.js';
import { eventually } from '../support/eventually.js';
import { Effect, TypeormWorld } from '../support/typeorm-world.js';
import { withBroker } from '../support/brokers.js';

const NAME = 'orders.order.placed';
const entry = (data: unknown, key?: string): OutboxEntry => ({
  envelope: createEnvelope({ name: NAME, source: 'shop', data, ...(key === undefined ? {} : { key }) }),
  transport: 'kafka',
});

withBroker('postgres', 'DATABASE_URL', (url) => {
  describe('typeormOutbox', () => {
    let world: TypeormWorld;
    let store: OutboxStore;
    let hints: number;

    const open = async (dataSource: DataSource): Promise<OutboxStore> => {
      const opened = typeormOutbox({ dataSource, schema: world.schema }).create(world.environment());
      await opened.prepare();
      return opened;
    };
    /** Relays until nothing is due; the data of what was published, in order. */
    const drain = async (relays = [store]): Promise<unknown[]> => {
      const published: unknown[] = [];
      const publish = async ({ envelope }: OutboxEntry): Promise<void> => void published.push(envelope.data);
      for (;;) {
        const results = await Promise.all(relays.map((relay) => relay.relay(7, publish)));
        if (results.every((result) => result.published === 0)) return published;
      }
    };

    beforeEach(async () => {
      world = await TypeormWorld.open(url);
      store = await open(world.dataSource);
      hints = 0;
      store.onCommitted(() => hints++);
    });
    afterEach(() => world.close());

    test('a transaction that rolls back publishes nothing', async () => {
      const failed = store.transactional(async () => {
        await world.dataSource.getRepository(Effect).save({ id: 'a' });
        await store.enrol([entry(1, 'k')]);
        throw new Error('failed');
      });
      await expect(failed).rejects.toThrow('failed');
      expect([await drain(), await world.effects(), hints]).toEqual([[], [], 0]);
    });

    test('a transaction that commits publishes once, after a hint', async () => {
      expect(store.isTransactionOpen()).toBe(false);
      const result = await store.transactional(async () => {
        expect(store.isTransactionOpen()).toBe(true);
        await world.dataSource.getRepository(Effect).save({ id: 'a' });
        await store.enrol([entry(1, 'k'), entry(2)]);
        expect(await drain()).toEqual([]);
        expect(hints).toBe(0);
        return 'done';
      });
      expect([result, hints]).toEqual(['done', 1]);
      expect(await drain()).toEqual([1, 2]);
      expect(await drain()).toEqual([]);
      expect(await world.count('outbox')).toBe(0);
    });

    test('what is relayed is what was enrolled', async () => {
      const envelope = createEnvelope({
        name: NAME,
        source: 'shop',
        key: 'nul \u0000 \\0 😀 ñ',
        data: { text: 'nul \u0000', lone: '\ud800', nested: [1.5, null, { a: '' }] },
        headers: { plain: 'ü', bytes: Uint8Array.of(0, 255), list: ['a', Uint8Array.of(1)] },
        correlationId: 'c',
      });
      await store.transactional(() => store.enrol([{ envelope, transport: 'rabbitmq' }]));
      const relayed: OutboxEntry[] = [];
      await store.relay(10, async (each) => void relayed.push(each));
      expect(relayed).toHaveLength(1);
      expect(relayed[0]?.transport).toBe('rabbitmq');
      expect(JSON.stringify(relayed[0]?.envelope.data)).toBe(JSON.stringify(envelope.data));
      expect(relayed[0]?.envelope).toMatchObject({ id: envelope.id, key: envelope.key, correlationId: 'c' });
      expect({ ...relayed[0]?.envelope.headers }).toEqual({
        plain: 'ü',
        bytes: Buffer.from([0, 255]),
        list: ['a', Buffer.from([1])],
      });
    });

    test('a handler’s own transaction carries its events; a duplicate publishes nothing', async () => {
      const idempotency = typeormIdempotency({ schema: world.schema }).create(world.environment());
      await idempotency.prepare();
      const key = { consumer: 'shop.mail', aliases: [], eventId: '1' };
      for (const _ of [1, 2]) await idempotency.once(key, () => store.enrol([entry('sent', 'k')]));
      // Not awaited, and still part of it.
      await idempotency.once({ ...key, eventId: '2' }, async () => void store.enrol([entry('loose', 'k')]));
      expect(await drain()).toEqual(['sent', 'loose']);
    });

    describe('the transaction of other code', () => {
      test('is joined by its manager, nested ones too', async () => {
        await world.dataSource.transaction(async (manager) => {
          await store.enrol([entry(1)], manager);
          await manager.transaction((inner) => store.enrol([entry(2)], inner));
          await manager
            .transaction(async (inner) => {
              await store.enrol([entry(3)], inner);
              throw new Error('undone');
            })
            .catch(() => undefined);
          expect(hints).toBe(0);
        });
        expect(hints).toBeGreaterThan(0);
        expect(await drain()).toEqual([1, 2]);
      });

      test('is joined by a query runner’s manager', async () => {
        const runner = world.dataSource.createQueryRunner();
        await runner.startTransaction();
        await store.enrol([entry(1)], runner.manager);
        await runner.rollbackTransaction();
        await runner.startTransaction();
        await store.enrol([entry(2)], runner.manager);
        await runner.commitTransaction();
        await runner.release();
        expect(await drain()).toEqual([2]);
      });

      const refused: [string, () => unknown][] = [
        ['nothing', () => undefined],
        ['the DataSource’s manager', () => world.dataSource.manager],
        ['a repository', () => world.dataSource.getRepository(Effect)],
        ['a manager whose transaction has not begun', () => world.dataSource.createQueryRunner().manager],
      ];
      test.each(refused)('is required: %s is refused', async (_, handle) => {
        await expect(store.enrol([entry(1)], handle())).rejects.toMatchObject({
          code: 'EVENTS_TRANSACTION_REQUIRED',
          message: expect.stringContaining('dataSource.transaction(async (manager)') as unknown,
        });
        expect(await world.count('outbox')).toBe(0);
      });

      test('is required to be of the same DataSource, and open', async () => {
        const other = await world.connect();
        let over: EntityManager | undefined;
        await other.transaction((manager) =>
          expect(store.enrol([entry(1)], manager)).rejects.toThrow('another DataSource'),
        );
        await world.dataSource.transaction(async (manager) => void (over = manager));
        await expect(store.enrol([entry(1)], over)).rejects.toThrow('is not open');
      });
    });

    test('order per key holds with four writers that commit late', async () => {
      const writers = await Promise.all([1, 2, 3, 4].map(async () => open(await world.connect())));
      const numbers = new Map<string, number>();
      const relays = [store, writers[0] as OutboxStore];
      const published: { key: string; n: number }[] = [];
      let writing = true;
      const relaying = (async () => {
        while (writing || (await world.count('outbox')) > 0) {
          await Promise.all(
            relays.map((relay) =>
              relay.relay(10, async ({ envelope }) => void published.push(envelope.data as { key: string; n: number })),
            ),
          );
        }
      })();
      await Promise.all(
        writers.map(async (writer, w) => {
          for (let round = 0; round < 25; round++) {
            await writer
              .transactional(async () => {
                const key = `key ${(w * 7 + round) % 3}`;
                // The order of enrolling is that of the locks, so it is numbered behind them.
                await writer.enrol([entry({ key, n: -1 }, key)]);
                const n = numbers.get(key) ?? 0;
                await writer.enrol([entry({ key, n }, key)]);
                await new Promise((resolve) => setTimeout(resolve, Math.random() * 10));
                if (round % 5 === 4) throw new Error('rolled back');
                numbers.set(key, n + 1);
              })
              .catch((error: Error) => expect(error.message).toBe('rolled back'));
          }
        }),
      );
      writing = false;
      await relaying;
      for (const [key, count] of numbers) {
        const seen = published.filter((each) => each.key === key && each.n >= 0).map(({ n }) => n);
        expect(seen).toEqual(Array.from({ length: count }, (_, n) => n));
      }
      expect(published).toHaveLength(2 * [...numbers.values()].reduce((sum, count) => sum + count, 0));
    });

    test('transactions that enrol the same keys in another order do not deadlock', async () => {
      const other = await open(await world.connect());
      const keys = Array.from({ length: 20 }, (_, n) => `k${n}`);
      await Promise.all(
        Array.from({ length: 20 }, (_, n) => (n % 2 === 0 ? store : other)).map((each, n) =>
          each.transactional(() => each.enrol((n % 2 === 0 ? keys : keys.toReversed()).map((key) => entry(n, key)))),
        ),
      );
      expect(await world.count('outbox')).toBe(400);
    });

    test('an event that cannot be published blocks its key only, and comes again in order', async () => {
      await store.transactional(() =>
        store.enrol([entry('a1', 'a'), entry('b1', 'b'), entry('a2', 'a'), entry('loose'), entry('b2', 'b')]),
      );
      const published: unknown[] = [];
      let broken = true;
      const publish = async ({ envelope }: OutboxEntry): Promise<void> => {
        if (broken && envelope.key === 'a') throw new Error('away: amqp://user:secret@host \u0000');
        published.push(envelope.data);
      };
      expect(await store.relay(10, publish)).toEqual({ published: 3, failed: 1, more: false });
      expect(published.toSorted()).toEqual(['b1', 'b2', 'loose']);
      // While a1 waits, a2 does.
      expect(await store.relay(10, publish)).toEqual({ published: 0, failed: 0, more: false });
      const rows = await world.rows(
        `SELECT attempts, last_error, not_before > now() AS waits FROM ${world.schema}.outbox ORDER BY position`,
      );
      expect(rows).toEqual([
        { attempts: 1, last_error: 'away: amqp://user:***@host \\u0000', waits: true },
        { attempts: 0, last_error: null, waits: null },
      ]);
      broken = false;
      published.length = 0;
      await eventually(async () => (await store.relay(10, publish)).published > 0);
      expect(published).toEqual(['a1', 'a2']);
    });

    test('each failure waits twice as long, up to a minute', async () => {
      await store.transactional(() => store.enrol([entry(1)]));
      const table = `${world.schema}.outbox`;
      const waits: number[] = [];
      for (let attempt = 0; attempt < 12; attempt++) {
        await world.rows(`UPDATE ${table} SET not_before = NULL`);
        await store.relay(1, () => Promise.reject(new Error('away')));
        const [row] = await world.rows<{ ms: number }>(
          `SELECT extract(epoch FROM not_before - clock_timestamp())::float8 * 1000 AS ms FROM ${table}`,
        );
        waits.push(row?.ms ?? 0);
      }
      for (const [attempt, ms] of waits.entries()) {
        const expected = Math.min(100 * 2 ** attempt, 60_000);
        expect(ms).toBeLessThanOrEqual(expected);
        expect(ms).toBeGreaterThan(expected - 100);
      }
    });

    test('two relays at once publish nothing twice', async () => {
      const other = await open(await world.connect());
      await store.transactional(() => store.enrol(Array.from({ length: 100 }, (_, n) => entry(n, `k${n % 10}`))));
      const published = await drain([store, other, store]);
      expect(published).toHaveLength(100);
      expect(new Set(published).size).toBe(100);
    });

    test('a relay whose connection breaks after publishing sends the same ids again', async () => {
      await store.transactional(() => store.enrol([entry(1, 'k')]));
      const ids: string[] = [];
      const broken = store.relay(10, async ({ envelope }) => {
        ids.push(envelope.id);
        await world.rows(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction' AND query LIKE $1`,
          [`%${world.schema}%outbox%`],
        );
      });
      await expect(broken).rejects.toThrow();
      await store.relay(10, async ({ envelope }) => void ids.push(envelope.id));
      expect(ids).toHaveLength(2);
      expect(new Set(ids).size).toBe(1);
    });

    test('data that has no JSON form is refused before anything is written', async () => {
      await store.transactional(async () => {
        await expect(store.enrol([entry(1, 'k'), entry(10n, 'k')])).rejects.toMatchObject({
          code: 'EVENTS_DATA_NOT_SERIALIZABLE',
        });
        await store.enrol([entry('fine', 'k')]);
      });
      expect(await drain()).toEqual(['fine']);
    });

    test('publishing after the transaction has ended is refused', async () => {
      let late: Promise<void> = Promise.resolve();
      await store.transactional(async () => {
        late = new Promise((resolve) => setTimeout(resolve, 50)).then(() => {
          expect(store.isTransactionOpen()).toBe(true);
          return store.enrol([entry(1)]);
        });
      });
      await expect(late).rejects.toMatchObject({ code: 'EVENTS_TRANSACTION_ENDED' });
    });
  });
});

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { EntityManager } from 'typeorm';
import { createEnvelope, type Envelope } from '../../lib/core/envelope.js';
import type { OutboxStore } from '../../lib/outbox/outbox-store.js';
import { typeormIdempotency } from '../../lib/typeorm.js';
import { withBroker } from '../support/brokers.js';
import { entry, NAME, OutboxWorld, PUBLISHED } from '../support/outbox-world.js';
import { Effect, type TypeormWorld } from '../support/typeorm-world.js';

withBroker('postgres', 'DATABASE_URL', (url) => {
  describe('typeormOutbox', () => {
    let outbox: OutboxWorld;
    let world: TypeormWorld;
    let store: OutboxStore;
    let hints: (readonly string[] | undefined)[];
    const drain = (): Promise<unknown[]> => outbox.drain();

    beforeEach(async () => {
      outbox = await OutboxWorld.open(url);
      ({ store, typeorm: world } = outbox);
      hints = [];
      store.watch((transports) => hints.push(transports));
    });
    afterEach(() => world.close());

    test('a transaction that rolls back publishes nothing', async () => {
      const failed = store.transactional(async () => {
        await world.dataSource.getRepository(Effect).save({ id: 'a' });
        await store.enrol([entry(1, 'k')]);
        throw new Error('failed');
      });
      await expect(failed).rejects.toThrow('failed');
      expect([await drain(), await world.effects(), hints]).toEqual([[], [], []]);
    });

    test('a transaction that commits publishes once, after a hint', async () => {
      expect(store.isTransactionOpen()).toBe(false);
      const result = await store.transactional(async () => {
        expect(store.isTransactionOpen()).toBe(true);
        await world.dataSource.getRepository(Effect).save({ id: 'a' });
        await store.enrol([entry(1, 'k'), entry(2)]);
        expect(await drain()).toEqual([]);
        expect(hints).toEqual([]);
        return 'done';
      });
      expect([result, hints]).toEqual(['done', [['kafka']]]);
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
      const relayed: Envelope[] = [];
      await outbox.relay(
        (_, taken) => {
          relayed.push(taken.read());
          return PUBLISHED;
        },
        { transport: 'rabbitmq' },
      );
      expect(relayed).toHaveLength(1);
      expect(JSON.stringify(relayed[0]?.data)).toBe(JSON.stringify(envelope.data));
      expect(relayed[0]).toMatchObject({ id: envelope.id, key: envelope.key, correlationId: 'c' });
      expect({ ...relayed[0]?.headers }).toEqual({
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
          expect(hints).toEqual([]);
        });
        expect(hints).toContainEqual(['kafka']);
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
        ['a query runner', () => world.dataSource.createQueryRunner()],
        ['the DataSource', () => world.dataSource],
        ['any object', () => ({ query: () => Promise.resolve([]), queryRunner: { isTransactionActive: true } })],
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
        const runner = world.dataSource.createQueryRunner();
        await runner.startTransaction();
        await runner.commitTransaction();
        await expect(store.enrol([entry(1)], runner.manager)).rejects.toThrow('is not open');
        await runner.release();
        await expect(store.enrol([entry(1)], runner.manager)).rejects.toThrow('is not open');
        expect(await world.count('outbox')).toBe(0);
      });
    });

    test('transactions that enrol the same keys in another order do not deadlock', async () => {
      const other = await outbox.another();
      const keys = Array.from({ length: 20 }, (_, n) => `k${n}`);
      await Promise.all(
        Array.from({ length: 20 }, (_, n) => (n % 2 === 0 ? store : other)).map((each, n) =>
          each.transactional(() => each.enrol((n % 2 === 0 ? keys : keys.toReversed()).map((key) => entry(n, key)))),
        ),
      );
      expect(await world.count('outbox')).toBe(400);
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

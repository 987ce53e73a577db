import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { DataSource } from 'typeorm';
import type { IdempotencyKey, IdempotencyStore } from '../../lib/idempotency/idempotency-store.js';
import { typeormIdempotency, type TransactionIsolation } from '../../lib/typeorm.js';
import { TransactionContext } from '../../lib/typeorm/transaction-context.js';
import { eventually, Gate } from '../support/eventually.js';
import { Effect, TypeormWorld } from '../support/typeorm-world.js';
import { withBroker } from '../support/brokers.js';

const key = (eventId: string): IdempotencyKey => ({ consumer: 'shop.mail', aliases: [], eventId });
const LEVELS: TransactionIsolation[] = ['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'];

withBroker('postgres', 'DATABASE_URL', (url) => {
  describe('isolationLevel', () => {
    let world: TypeormWorld;

    const open = async (dataSource: DataSource, isolationLevel?: TransactionIsolation): Promise<IdempotencyStore> => {
      const definition = typeormIdempotency({
        dataSource,
        schema: world.schema,
        ...(isolationLevel === undefined ? {} : { isolationLevel }),
      });
      const store = definition.create(world.environment());
      await store.prepare();
      return store;
    };
    const levelIn = async (dataSource: DataSource): Promise<string> => {
      const [row] = await dataSource.query<[{ level: string }]>(
        `SELECT current_setting('transaction_isolation') AS level`,
      );
      return row.level.toUpperCase();
    };

    beforeEach(async () => {
      world = await TypeormWorld.open(url);
    });
    afterEach(() => world.close());

    test.each(LEVELS)('%s is that of the handler’s transaction, and of nothing else', async (level) => {
      const store = await open(world.dataSource, level);
      const seen = await store.once(key('1'), () => levelIn(world.dataSource));
      expect(seen).toEqual({ duplicate: false, value: level });
      const batch = await store.onceAll([key('2')], () => levelIn(world.dataSource));
      expect(batch.value).toBe(level);
      expect(await levelIn(world.dataSource)).toBe('READ COMMITTED');
    });

    test('is the database’s unless given', async () => {
      const source = await world.connect({ extra: { options: '-c default_transaction_isolation=serializable' } });
      const store = await open(source);
      expect(await store.once(key('1'), () => levelIn(source))).toMatchObject({ value: 'SERIALIZABLE' });
    });

    test('a nested transaction has it too', async () => {
      const store = await open(world.dataSource, 'SERIALIZABLE');
      const seen = await store.once(key('1'), () =>
        world.dataSource.transaction('READ COMMITTED', () => levelIn(world.dataSource)),
      );
      expect(seen).toMatchObject({ value: 'SERIALIZABLE' });
    });

    test('what is no isolation level is refused before anything starts', () => {
      const isolationLevel = 'SERIALIZABLE; DROP TABLE x' as 'SERIALIZABLE';
      expect(() => typeormIdempotency({ isolationLevel })).toThrow(
        expect.objectContaining({ code: 'EVENTS_OPTIONS_INVALID' }),
      );
    });

    /** Both have begun before either writes the id: the second meets a row its snapshot cannot see. */
    test.each(LEVELS)('%s: an id that was committed meanwhile is a duplicate, not a failure', async (level) => {
      const otherSource = await world.connect();
      const [store, other] = [await open(world.dataSource, level), await open(otherSource, level)];
      const running = new Gate();
      const gate = new Gate();
      const first = store.once(key('1'), async () => {
        await world.dataSource.getRepository(Effect).insert({ id: 'first' });
        running.open();
        await gate.passed;
      });
      await running.passed;
      const second = other.once(key('1'), () => otherSource.getRepository(Effect).insert({ id: 'second' }));
      const batch = open(await world.connect(), level).then((third) =>
        third.onceAll([key('0'), key('1')], (fresh) => Promise.resolve(fresh)),
      );
      // In the database: both wait for the first one's row, and their snapshots are older than its commit.
      await waiting(world, 2);
      gate.open();
      expect(await first).toMatchObject({ duplicate: false });
      expect(await second).toEqual({ duplicate: true });
      expect(await batch).toEqual({ fresh: [0], value: [0] });
      expect(await world.effects()).toEqual(['first']);
    });

    test.each(LEVELS)('%s: 20 deliveries of one id in two processes have one effect', async (level) => {
      const otherSource = await world.connect();
      const stores = [
        { store: await open(world.dataSource, level), source: world.dataSource },
        { store: await open(otherSource, level), source: otherSource },
      ];
      const results = await Promise.all(
        Array.from({ length: 20 }, (_, n) => {
          const { store, source } = stores[n % 2] as (typeof stores)[number];
          return store.once(key('1'), () => source.getRepository(Effect).insert({ id: `${n}` }));
        }),
      );
      expect(results.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
      expect(await world.effects()).toHaveLength(1);
    });

    test('inside a transaction that other code has begun, a conflict is that code’s to begin again', async () => {
      const otherSource = await world.connect();
      const [store, other] = [await open(world.dataSource), await open(otherSource)];
      const context = TransactionContext.of(world.dataSource) as TransactionContext;
      const run = context.run(
        async (manager) => {
          await manager.query('SELECT 1');
          await other.once(key('1'), () => Promise.resolve());
          await store.once(key('1'), () => Promise.resolve());
        },
        { owner: 'caller', isolationLevel: 'REPEATABLE READ' },
      );
      await expect(run).rejects.toMatchObject({ code: '40001' });
    });
  });
});

/** Until that many connections wait in the database for another transaction. */
function waiting(world: TypeormWorld, count: number): Promise<boolean> {
  const sql = `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1`;
  return eventually(async () => (await world.rows(sql, [`%${world.schema}%`])).length >= count);
}

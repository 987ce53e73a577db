import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import type { EntityManager, Repository } from 'typeorm';
import { TransactionContext, outsideTransaction } from '../../lib/typeorm/transaction-context.js';
import { Gate } from '../support/eventually.js';
import { Effect, TypeormWorld } from '../support/typeorm-world.js';
import { withBroker } from '../support/brokers.js';

const OWNER = { owner: 'delivery' } as const;

withBroker('postgres', 'DATABASE_URL', (url) => {
  describe('a transaction that everything reaches', () => {
    let world: TypeormWorld;
    let before: Repository<Effect>;
    let context: TransactionContext;

    beforeEach(async () => {
      world = await TypeormWorld.open(url);
      before = world.dataSource.getRepository(Effect);
      context = TransactionContext.install(world.dataSource);
    });
    afterEach(() => world.close());

    const paths: [string, (manager: EntityManager) => Promise<unknown>][] = [
      ['a repository made before', () => before.save({ id: 'x' })],
      ['insert', () => before.insert({ id: 'x' })],
      ['upsert', () => before.upsert({ id: 'x' }, ['id'])],
      ['a repository made inside', () => world.dataSource.getRepository(Effect).save({ id: 'x' })],
      ['a custom repository', () => before.extend({ add: (id: string) => before.insert({ id }) }).add('x')],
      ['the entity manager', () => world.dataSource.manager.save(Effect, { id: 'x' })],
      ['the transaction’s manager', (manager) => manager.save(Effect, { id: 'x' })],
      ['a query builder', () => before.createQueryBuilder().insert().values({ id: 'x' }).execute()],
      [
        'the DataSource’s query',
        () => world.dataSource.query(`INSERT INTO ${world.schema}.effects VALUES ($1)`, ['x']),
      ],
      ['a nested transaction', () => world.dataSource.transaction((inner) => inner.save(Effect, { id: 'x' }))],
      ['a nested transaction of a manager', () => before.manager.transaction(() => before.save({ id: 'x' }))],
      [
        'a query runner of one’s own',
        async () => {
          const runner = world.dataSource.createQueryRunner();
          await runner.connect();
          await runner.startTransaction();
          await runner.manager.save(Effect, { id: 'x' });
          await runner.commitTransaction();
          await runner.release();
        },
      ],
    ];

    test.each(paths)('%s takes part: rolled back with it', async (_, write) => {
      const failure = new Error('handler failed');
      const failed = context.run(async (manager) => {
        await write(manager);
        expect(await before.countBy({ id: 'x' })).toBe(1);
        expect(await world.effects()).toEqual([]);
        throw failure;
      }, OWNER);
      await expect(failed).rejects.toBe(failure);
      expect(await world.effects()).toEqual([]);
    });

    test.each(paths)('%s takes part: committed with it', async (_, write) => {
      await context.run(write, OWNER);
      expect(await world.effects()).toEqual(['x']);
    });

    test('many queries and nested transactions at the same time', async () => {
      const overlap = watchOverlap();
      await context.run(async () => {
        await Promise.all([
          ...Array.from({ length: 20 }, (_, n) => before.insert({ id: `q${n}` })),
          ...[0, 1, 2].map((n) =>
            world.dataSource
              .transaction(async (inner) => {
                await inner.insert(Effect, { id: `n${n}a` });
                await Promise.all([before.insert({ id: `n${n}b` }), inner.findBy(Effect, { id: 'q1' })]);
                if (n === 1) throw new Error('only this one');
              })
              .catch(() => undefined),
          ),
        ]);
      }, OWNER);
      expect(overlap.stop()).toBe(1);
      const effects = await world.effects();
      expect(effects.filter((id) => id.startsWith('q'))).toHaveLength(20);
      expect(effects.filter((id) => id.startsWith('n'))).toEqual(['n0a', 'n0b', 'n2a', 'n2b']);
    });

    test('what runs beside a nested transaction is not undone with it', async () => {
      await context.run(async () => {
        const gate = new Gate();
        const nested = world.dataSource.transaction(async (inner) => {
          await inner.insert(Effect, { id: 'undone' });
          gate.open();
          // Something slow that is no statement.
          await new Promise((resolve) => setTimeout(resolve, 30));
          throw new Error('nested failed');
        });
        await Promise.all([
          expect(nested).rejects.toThrow('nested failed'),
          gate.passed.then(() => before.insert({ id: 'beside' })),
        ]);
      }, OWNER);
      expect(await world.effects()).toEqual(['beside']);
    });

    test('query runners of their own, started at the same time, take turns', async () => {
      const one = async (id: string, fail: boolean): Promise<void> => {
        const runner = world.dataSource.createQueryRunner();
        await runner.startTransaction();
        try {
          await runner.manager.insert(Effect, { id });
          if (fail) throw new Error('fails');
          await runner.commitTransaction();
        } catch {
          await runner.rollbackTransaction();
        } finally {
          await runner.release();
        }
      };
      await context.run(() => Promise.all([one('a', false), one('b', true), one('c', false)]), OWNER);
      expect(await world.effects()).toEqual(['a', 'c']);
    });

    test('a failed nested transaction undoes its own part only, also of what it nests itself', async () => {
      await context.run(async (outer) => {
        await before.insert({ id: 'kept' });
        await expect(
          world.dataSource.transaction(async (inner) => {
            await inner.transaction(() => before.insert({ id: 'gone-deep' }));
            // The outer manager, inside: it means this transaction.
            await outer.transaction(() => before.insert({ id: 'gone-outer' }));
            await outer.insert(Effect, { id: 'gone-too' });
            await before.insert({ id: 'kept' });
          }),
        ).rejects.toThrow('duplicate key');
        await before.insert({ id: 'after' });
      }, OWNER);
      expect(await world.effects()).toEqual(['after', 'kept']);
    });

    test('a caught error does not commit half: the failed statement has undone the rest', async () => {
      const run = context.run(async () => {
        await before.insert({ id: 'a' });
        await before.insert({ id: 'a' }).catch(() => undefined);
      }, OWNER);
      await expect(run).rejects.toMatchObject({
        code: 'EVENTS_TRANSACTION_ABORTED',
        cause: expect.objectContaining({ code: '23505' }) as unknown,
      });
      expect(await world.effects()).toEqual([]);
    });

    test('what goes on after the end is refused, not written outside', async () => {
      let late: Promise<unknown> = Promise.resolve();
      const run = context.run(async () => {
        await before.insert({ id: 'a' });
        late = new Promise((resolve) => setTimeout(resolve, 100)).then(() => before.insert({ id: 'late' }));
        throw new Error('failed');
      }, OWNER);
      await expect(run).rejects.toThrow('failed');
      await expect(late).rejects.toMatchObject({ code: 'EVENTS_TRANSACTION_ENDED' });
      expect(await world.effects()).toEqual([]);
    });

    test('a nested transaction nobody awaited is undone, the rest commits, the connection is clean', async () => {
      const loose: Promise<unknown>[] = [];
      await context.run(async () => {
        await before.insert({ id: 'a' });
        const runner = world.dataSource.createQueryRunner();
        await runner.startTransaction();
        await runner.manager.insert(Effect, { id: 'forgotten' });
        loose.push(
          world.dataSource
            .transaction((inner) => inner.insert(Effect, { id: 'waits' }))
            .catch((error: unknown) => error),
        );
      }, OWNER);
      expect(await world.effects()).toEqual(['a']);
      expect(await Promise.all(loose)).toEqual([expect.objectContaining({ code: 'EVENTS_TRANSACTION_ENDED' })]);
      await before.insert({ id: 'next' });
      expect(await world.effects()).toEqual(['a', 'next']);
    });

    test('work outside stays when the handler fails', async () => {
      const run = context.run(async () => {
        await outsideTransaction(world.dataSource, () => before.insert({ id: 'audit' }));
        throw new Error('failed');
      }, OWNER);
      await expect(run).rejects.toThrow('failed');
      expect(await world.effects()).toEqual(['audit']);
    });

    test('a transaction of the user’s own, elsewhere, is not touched', async () => {
      let release = (): void => undefined;
      const held = new Promise<void>((resolve) => (release = resolve));
      const own = world.dataSource.transaction(async (manager) => {
        await manager.insert(Effect, { id: 'own' });
        // As ever in TypeORM: a plain repository is outside of it.
        expect(await before.countBy({ id: 'own' })).toBe(0);
        await held;
      });
      await expect(context.run(() => Promise.reject(new Error('failed')), OWNER)).rejects.toThrow('failed');
      release();
      await own;
      expect(await world.effects()).toEqual(['own']);
    });

    test('200 at the same time, half of them failing, leave exactly 100 effects', async () => {
      await Promise.allSettled(
        Array.from({ length: 200 }, (_, n) =>
          context.run(async () => {
            await before.save({ id: `e${n}` });
            if (n % 2 === 1) throw new Error('failed');
          }, OWNER),
        ),
      );
      expect(await world.effects()).toHaveLength(100);
    });

    test('callbacks run after the commit, and not for what was undone', async () => {
      const called: string[] = [];
      await context.run(async () => {
        context.current()?.afterCommit(() => called.push('outer'));
        await world.dataSource.transaction(async () => context.current()?.afterCommit(() => called.push('inner')));
        await world.dataSource
          .transaction(async () => {
            context.current()?.afterCommit(() => called.push('undone'));
            throw new Error('undone');
          })
          .catch(() => undefined);
        expect(called).toEqual([]);
      }, OWNER);
      expect(called).toEqual(['outer', 'inner']);
    });

    test('a lost connection fails the transaction and leaves the pool usable', async () => {
      const run = context.run(async () => {
        await before.insert({ id: 'a' });
        const [row] = await world.dataSource.query<[{ pid: number }]>('SELECT pg_backend_pid() AS pid');
        await world.rows('SELECT pg_terminate_backend($1)', [row.pid]);
        await before.insert({ id: 'b' });
      }, OWNER);
      await expect(run).rejects.toThrow();
      expect(await world.effects()).toEqual([]);
      await before.insert({ id: 'c' });
      expect(await world.effects()).toEqual(['c']);
    });

    test('installed twice it is one; gone when both have gone', async () => {
      const second = TransactionContext.install(world.dataSource);
      expect(second).toBe(context);
      second.uninstall();
      expect(Object.hasOwn(world.dataSource, 'createQueryRunner')).toBe(true);
      context.uninstall();
      expect(Object.hasOwn(world.dataSource, 'createQueryRunner')).toBe(false);
      expect(Object.hasOwn(world.dataSource.manager, 'transaction')).toBe(false);
      expect(TransactionContext.of(world.dataSource)).toBeUndefined();
    });
  });
});

/** How many statements one client of pg has had at the same time, at most. pg 9 will refuse more than one. */
function watchOverlap(): { stop(): number } {
  const query = pg.Client.prototype.query as (this: pg.Client, ...args: unknown[]) => Promise<unknown>;
  const active = new Map<pg.Client, number>();
  let most = 0;
  const watched = async function (this: pg.Client, ...args: unknown[]): Promise<unknown> {
    const now = (active.get(this) ?? 0) + 1;
    active.set(this, now);
    most = Math.max(most, now);
    try {
      return await query.apply(this, args);
    } finally {
      active.set(this, (active.get(this) ?? 1) - 1);
    }
  };
  Object.assign(pg.Client.prototype, { query: watched });
  return {
    stop() {
      Object.assign(pg.Client.prototype, { query });
      return most;
    },
  };
}

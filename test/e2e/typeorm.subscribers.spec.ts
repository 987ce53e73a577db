import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { EntitySubscriberInterface, InsertEvent } from 'typeorm';
import { TransactionContext } from '../../lib/typeorm/transaction-context.js';
import { withBroker } from '../support/brokers.js';
import { Effect, TypeormWorld } from '../support/typeorm-world.js';

const OWNER = { owner: 'delivery' } as const;

/** Hears all, and writes a row of its own for each effect whose id says so. */
class Listener implements EntitySubscriberInterface<Effect> {
  readonly heard: string[] = [];

  listenTo(): typeof Effect {
    return Effect;
  }

  async afterInsert({ entity, manager }: InsertEvent<Effect>): Promise<void> {
    this.heard.push(`inserted ${entity.id}`);
    if (!entity.id.endsWith('+')) return;
    // By the event's manager, in another transaction of its own, as a subscriber may.
    await manager.transaction((inner) => inner.insert(Effect, { id: `${entity.id}1` }));
  }

  beforeTransactionStart = (): void => void this.heard.push('before start');
  afterTransactionStart = (): void => void this.heard.push('after start');
  beforeTransactionCommit = (): void => void this.heard.push('before commit');
  afterTransactionCommit = (): void => void this.heard.push('after commit');
  beforeTransactionRollback = (): void => void this.heard.push('before rollback');
  afterTransactionRollback = (): void => void this.heard.push('after rollback');
}

withBroker('postgres', 'DATABASE_URL', (url) => {
  describe('subscribers of the DataSource', () => {
    let world: TypeormWorld;
    let context: TransactionContext;
    let listener: Listener;

    beforeEach(async () => {
      world = await TypeormWorld.open(url);
      context = TransactionContext.install(world.dataSource);
      listener = new Listener();
      world.dataSource.subscribers.push(listener);
    });
    afterEach(() => world.close());

    test('hear of the transaction and of a savepoint', async () => {
      await context.run(async () => {
        await world.dataSource.getRepository(Effect).insert({ id: 'a' });
        await world.dataSource
          .transaction(() => Promise.reject(new Error('undone')))
          .catch(() => listener.heard.push('caught'));
      }, OWNER);
      const start = ['before start', 'after start'];
      const rollback = ['before rollback', 'after rollback'];
      const commit = ['before commit', 'after commit'];
      expect(listener.heard).toEqual([...start, 'inserted a', ...start, ...rollback, 'caught', ...commit]);
      expect(await world.effects()).toEqual(['a']);
    });

    test('take part in the transaction with what they write', async () => {
      await context.run(() => world.dataSource.getRepository(Effect).insert({ id: 'a+' }), OWNER);
      expect(await world.effects()).toEqual(['a+', 'a+1']);
      const failed = context.run(async () => {
        await world.dataSource.getRepository(Effect).insert({ id: 'b+' });
        throw new Error('failed');
      }, OWNER);
      await expect(failed).rejects.toThrow('failed');
      expect(await world.effects()).toEqual(['a+', 'a+1']);
    });

    test('one that refuses the commit undoes the transaction', async () => {
      listener.beforeTransactionCommit = () => {
        throw new Error('refused');
      };
      await expect(
        context.run(() => world.dataSource.getRepository(Effect).insert({ id: 'a' }), OWNER),
      ).rejects.toThrow('refused');
      expect(await world.effects()).toEqual([]);
    });
  });
});

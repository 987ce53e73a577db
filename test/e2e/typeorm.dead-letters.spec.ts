import { describe, expect, test } from '@jest/globals';
import { deadLetterStoreContract, type DeadLetterStoreHarness } from '../../lib/testing.js';
import { letterOf, range } from '../../lib/testing/dead-letters-of.js';
import { TransactionContext } from '../../lib/typeorm/transaction-context.js';
import { withBroker } from '../support/brokers.js';
import { DeadLettersWorld } from '../support/dead-letters-world.js';

withBroker('postgres', 'DATABASE_URL', (url) => {
  describe('the store of dead letters in PostgreSQL keeps the contract', () => {
    const create = async (): Promise<DeadLetterStoreHarness> => {
      const world = await DeadLettersWorld.open(url);
      return { store: world.store, another: () => world.another(), close: () => world.close() };
    };
    for (const { name, run } of deadLetterStoreContract(create)) test(name, run);
  });

  describe('dead letters in PostgreSQL', () => {
    const using = async (work: (world: DeadLettersWorld) => Promise<void>): Promise<void> => {
      const world = await DeadLettersWorld.open(url);
      try {
        await work(world);
      } finally {
        await world.close();
      }
    };

    test('outlive the rollback of the transaction they were written in', () =>
      using(async ({ store, database }) => {
        const context = TransactionContext.of(database.dataSource) as TransactionContext;
        const failing = context.run(
          async () => {
            await store.add([letterOf('added')]);
            await store.park(letterOf('k0', 'k'));
            await store.follow(letterOf('k1', 'k'));
            throw new Error('rolled back');
          },
          { owner: 'caller' },
        );
        await expect(failing).rejects.toThrow('rolled back');
        expect(await store.count({})).toBe(3);
      }));

    test('what follows while its key is let go is not lost where SERIALIZABLE is the default', () =>
      using(async (world) => {
        const extra = { options: '-c default_transaction_isolation=serializable' };
        const strict = await world.on(await world.database.connect({ extra }));
        const claim = { consumers: ['shop.stock.reserve'], limit: 10, by: 'one', leaseMs: 60_000 };
        for (const round of range(10)) {
          await strict.park(letterOf(`${round}/first`, 'k'));
          await strict.request({}, { by: 'ada' });
          await strict.claim(claim);
          const [, ...followed] = await Promise.all([
            strict.settle({ letter: letterOf(`${round}/first`).id, result: 'handled' }, 'one'),
            ...range(6).map((n) => strict.follow(letterOf(`${round}/${n}`, 'k'))),
          ]);
          let run = 0;
          for (let next = await strict.claim(claim); next.length > 0; next = await strict.claim(claim)) {
            for (const { letter } of next) await strict.settle({ letter: letter.id, result: 'handled' }, 'one');
            run += next.length;
          }
          expect(run).toBe(followed.filter(Boolean).length);
          expect(await strict.count({})).toBe(0);
        }
      }));

    test('a page, and a claim, of large bodies is cut, never empty', () =>
      using(async ({ store }) => {
        const large = (name: string) => {
          const letter = letterOf(name);
          return { ...letter, original: { ...letter.original, body: Buffer.alloc(7_000_000, name) } };
        };
        await store.add(range(5).map((n) => large(`${n}`)));
        const sizes: number[] = [];
        let after: string | undefined;
        do {
          const page = await store.list({}, after === undefined ? {} : { after });
          sizes.push(page.items.length);
          after = page.next;
        } while (after !== undefined);
        expect(sizes).toEqual([3, 2]);
        await store.request({}, { by: 'ada' });
        const claim = { consumers: ['shop.stock.reserve'], limit: 10, by: 'one', leaseMs: 60_000 };
        const claimed = await store.claim(claim);
        expect(claimed).toHaveLength(3);
        expect(claimed[0]?.letter.original.body?.byteLength).toBe(7_000_000);
        expect(await store.claim(claim)).toHaveLength(2);
      }));
  });
});

import { describe, test } from '@jest/globals';
import type { DataSource } from 'typeorm';
import type { OutboxStore } from '../../lib/index.js';
import {
  idempotencyStoreContract,
  outboxStoreContract,
  type IdempotencyStoreHarness,
  type OutboxStoreHarness,
} from '../../lib/testing.js';
import { typeormIdempotency, typeormOutbox } from '../../lib/typeorm.js';
import { withBroker } from '../support/brokers.js';
import { Effect, TypeormWorld } from '../support/typeorm-world.js';

withBroker('postgres', 'DATABASE_URL', (url) => {
  /** Tables of the case's own, and a second DataSource as another process has one. */
  async function openWorld(): Promise<{ world: TypeormWorld; schema: string; close: () => Promise<void> }> {
    const world = await TypeormWorld.open(url);
    const schema = `${world.schema}_events`;
    const close = async (): Promise<void> => {
      await world.rows(`DROP SCHEMA ${schema} CASCADE`);
      await world.close();
    };
    return { world, schema, close };
  }

  describe('the idempotency store in PostgreSQL keeps the contract', () => {
    const create = async (): Promise<IdempotencyStoreHarness> => {
      const { world, schema, close } = await openWorld();
      await world.rows(`ALTER TABLE ${world.schema}.effects DROP CONSTRAINT effects_pkey`);
      const options = { schema, waitMs: 1_000 };
      const store = typeormIdempotency(options).create(world.environment());
      await store.prepare();
      const others = [store];
      return {
        store,
        another: async () => {
          // As few connections as a process may have: those that wait must not hold them.
          const dataSource = await world.connect({ poolSize: 2 });
          const other = typeormIdempotency({ ...options, dataSource }).create(world.environment());
          await other.prepare();
          others.push(other);
          return other;
        },
        writeEffect: async (name) => {
          await world.dataSource.query(`INSERT INTO ${world.schema}.effects (id) VALUES ($1)`, [name]);
        },
        effects: () => world.effects(),
        close: async () => {
          for (const each of others) each.close?.();
          await close();
        },
      };
    };
    for (const { name, run } of idempotencyStoreContract(create)) test(name, run);
  });

  describe('the outbox in PostgreSQL keeps the contract', () => {
    const create = async (): Promise<OutboxStoreHarness> => {
      const { world, schema, close } = await openWorld();
      const { dataSource } = world;
      const open = async (own: DataSource): Promise<OutboxStore> => {
        const store = typeormOutbox({ schema, dataSource: own }).create(world.environment());
        await store.prepare();
        return store;
      };
      const store = await open(dataSource);
      const others = [store];
      return {
        store,
        another: async () => {
          const other = await open(await world.connect());
          others.push(other);
          return other;
        },
        transaction: (work) => dataSource.transaction((manager) => work(manager)),
        notTransactions: async () => {
          const ended = await dataSource.transaction(async (manager) => manager);
          const elsewhere = await world.connect();
          return [dataSource, dataSource.manager, ended, elsewhere.manager, dataSource.getRepository(Effect)];
        },
        close: async () => {
          for (const each of others) each.close?.();
          await close();
        },
      };
    };
    for (const { name, run } of outboxStoreContract(create)) test(name, run);
  });
});

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { ActivityStream, memory, MemoryBroker, memoryIdempotency, OnEvent, type Envelope } from '../../lib/index.js';
import type { IdempotencyKey, IdempotencyStore } from '../../lib/idempotency/idempotency-store.js';
import { typeormIdempotency } from '../../lib/typeorm.js';
import { withBroker } from '../support/brokers.js';
import { eventually, Gate } from '../support/eventually.js';
import { useApps, type TestApp } from '../support/nest-app.js';
import { Effect, TypeormWorld } from '../support/typeorm-world.js';

const start = useApps();

test('a skipped duplicate is visible: its outcome, a debug line, and a count that needs no subscriber', async () => {
  @Injectable()
  class Mails {
    @OnEvent('orders.order.placed', { id: 'mails' })
    send(): void {
      // The effect is somebody else's matter here.
    }
  }

  const app = await start({ options: { idempotency: memoryIdempotency() }, providers: [Mails] });
  const stream = app.module.get(ActivityStream);
  expect(stream.counts()).not.toHaveProperty('duplicate');
  for (let n = 0; n < 3; n++) await app.bus.publish('orders.order.placed', {}, { id: 'o-1', key: 'k' });
  const duplicates = await app.saw('duplicate', 2);
  expect(duplicates[0]).toMatchObject({ handler: 'mails', group: 'shop', event: 'orders.order.placed', id: 'o-1' });
  expect(stream.counts()).toMatchObject({ published: 3, handled: 1, duplicate: 2 });
  const lines = app.logger.messages('debug').filter((line) => line.includes('duplicate'));
  expect(lines).toEqual(Array.from({ length: 2 }, () => 'shop.mails: orders.order.placed o-1 is a duplicate, skipped'));
  // A copy: what somebody does to it changes nothing.
  Object.assign(stream.counts(), { duplicate: 99 });
  expect(stream.counts().duplicate).toBe(2);
});

withBroker('postgres', 'DATABASE_URL', (url) => {
  describe('one event delivered many times at once', () => {
    let world: TypeormWorld;

    beforeEach(async () => {
      world = await TypeormWorld.open(url);
    });
    afterEach(() => world.close());

    /** Applications that share the work of one group, each with a DataSource of its own as another process has. */
    const startApps = async (count: number, failures: number): Promise<{ apps: TestApp[]; runs: () => number }> => {
      const broker = new MemoryBroker();
      let runs = 0;

      @Injectable()
      class Effects {
        constructor(private readonly dataSource: DataSource) {}

        @OnEvent('orders.order.placed', { id: 'effects', concurrency: 50 })
        async handle(_: unknown, { id }: Envelope): Promise<void> {
          const run = ++runs;
          await this.dataSource.getRepository(Effect).insert({ id: `${id}-${run}` });
          if (run <= failures) throw new Error('failed after it had written');
        }
      }

      const apps: TestApp[] = [];
      for (let n = 0; n < count; n++) {
        const dataSource = await world.connect();
        const idempotency = typeormIdempotency({ dataSource, schema: world.schema });
        const app = await start({
          options: { transports: [memory({ broker })], idempotency },
          providers: [Effects, { provide: DataSource, useValue: dataSource }],
        });
        apps.push(app);
      }
      return { apps, runs: () => runs };
    };

    test.each([
      ['in one process', 1, 0],
      ['in one process, the first of which rolls back', 1, 1],
      ['in two processes', 2, 0],
      ['in two processes, the first of which rolls back', 2, 1],
      ['in two processes, several of which roll back', 2, 4],
    ])('20 deliveries %s: one effect', async (_, count, failures) => {
      const { apps, runs } = await startApps(count, failures);
      const [publisher] = apps as [TestApp];
      await Promise.all(
        Array.from({ length: 20 }, () => publisher.bus.publish('orders.order.placed', {}, { id: 'one' })),
      );
      const seen = (type: 'handled' | 'duplicate' | 'retried'): number =>
        apps.reduce((sum, app) => sum + app.of(type).length, 0);
      await eventually(() => seen('handled') + seen('duplicate') === 20);
      expect([seen('handled'), seen('duplicate'), seen('retried')]).toEqual([1, 19, failures]);
      expect(runs()).toBe(failures + 1);
      expect(await world.effects()).toEqual([`one-${failures + 1}`]);
      // Before the schema goes: a relay or cleanup may still look at it.
      await Promise.all(apps.map((app) => app.close()));
    });

    test('50 that wait, in two processes with pools of 2: other events go on meanwhile', async () => {
      const openStore = async (): Promise<{ store: IdempotencyStore; source: DataSource }> => {
        // A delivery that gets no connection for a second fails the test.
        const source = await world.connect({ poolSize: 2, extra: { connectionTimeoutMillis: 1_000 } });
        const store = typeormIdempotency({ dataSource: source, schema: world.schema, waitMs: 20_000 }).create(
          world.environment(),
        );
        await store.prepare();
        return { store, source };
      };
      const processes = [await openStore(), await openStore()];
      const at = (n: number): (typeof processes)[number] => processes[n % 2] as (typeof processes)[number];
      const gate = new Gate();
      let runs = 0;
      const same = Array.from({ length: 50 }, (_, n) =>
        at(n).store.once(key('same'), async () => {
          runs++;
          await at(n).source.getRepository(Effect).insert({ id: 'same' });
          await gate.passed;
        }),
      );
      await eventually(() => runs === 1);
      const others = await Promise.all(
        Array.from({ length: 40 }, (_, n) =>
          at(n).store.once(key(`other-${n}`), () =>
            at(n)
              .source.getRepository(Effect)
              .insert({ id: `other-${n}` }),
          ),
        ),
      );
      expect(others.every(({ duplicate }) => !duplicate)).toBe(true);
      gate.open();
      const results = await Promise.all(same);
      expect(results.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
      expect(runs).toBe(1);
      expect(await world.effects()).toHaveLength(41);
    });

    test('20 different ones that another process handles: those who wait keep one connection busy, not all', async () => {
      const open = async (options: { poolSize: number; extra?: object }): Promise<IdempotencyStore> => {
        const dataSource = await world.connect(options);
        const store = typeormIdempotency({ dataSource, schema: world.schema, waitMs: 20_000 }).create(
          world.environment(),
        );
        await store.prepare();
        return store;
      };
      const elsewhere = await open({ poolSize: 20 });
      const here = await open({ poolSize: 4, extra: { application_name: `${world.schema}-here` } });
      const gate = new Gate();
      const ids = Array.from({ length: 20 }, (_, n) => `event-${n}`);
      let running = 0;
      const first = ids.map((id) => elsewhere.once(key(id), () => (running++, gate.passed)));
      await eventually(() => running === 20);
      let asked = 0;
      const second = ids.map((id) => here.once(key(id), () => Promise.reject(new Error('ran'))).finally(() => asked++));
      const waiting = async (): Promise<number> => {
        const rows = await world.rows(
          "SELECT 1 FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'",
          [`${world.schema}-here`],
        );
        return rows.length;
      };
      // Each has asked once, at the same time, when one is left that asks again.
      const settled = async (): Promise<boolean> => {
        for (let look = 0; look < 20; look++) if ((await waiting()) > 1) return false;
        return true;
      };
      await eventually(settled);
      for (let look = 0; look < 100; look++) expect(await waiting()).toBeLessThanOrEqual(1);
      expect(asked).toBe(0);
      gate.open();
      await Promise.all(first);
      expect((await Promise.all(second)).every(({ duplicate }) => duplicate)).toBe(true);
    });
  });
});

const key = (eventId: string): IdempotencyKey => ({ consumer: 'shop.effects', aliases: [], eventId });

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import {
  BatchError,
  MemoryBroker,
  OnEvents,
  memory,
  type Envelope,
  type EventsModuleOptions,
  type TransportDefinition,
} from '../../lib/index.js';
import { kafka } from '../../lib/kafka.js';
import { rabbitmq } from '../../lib/rabbitmq.js';
import { typeormIdempotency } from '../../lib/typeorm.js';
import { withBroker } from '../support/brokers.js';
import { Gate, eventually } from '../support/eventually.js';
import { useApps, type TestApp } from '../support/nest-app.js';
import { Effect, TypeormWorld } from '../support/typeorm-world.js';
import { uniqueWord } from '../support/unique.js';

type View = Envelope<{ n: number }>;

withBroker('postgres', 'DATABASE_URL', (url) => {
  describe('batch handlers with PostgreSQL', () => {
    const start = useApps();
    let world: TypeormWorld;
    const running: TestApp[] = [];

    beforeEach(async () => {
      world = await TypeormWorld.open(url);
    });
    afterEach(async () => {
      await Promise.all(running.splice(0).map((app) => app.close()));
      await world.close();
    });

    const withStore = async (
      handler: new (...args: never[]) => object,
      options: Partial<EventsModuleOptions> = {},
    ): Promise<TestApp> => {
      const app = await start({
        providers: [handler, { provide: DataSource, useValue: world.dataSource }],
        options: { idempotency: typeormIdempotency({ schema: world.schema }), ...options },
      });
      running.push(app);
      return app;
    };
    const publish = (app: TestApp, ids: readonly string[], name = 'analytics.page.viewed'): Promise<unknown> =>
      app.bus.publishAll(ids.map((id) => ({ name, data: { n: Number(id) }, id, key: `key-${Number(id) % 7}` })));
    /** One row for each event, all in one statement. */
    const save = async (dataSource: DataSource, envelopes: readonly Envelope[]): Promise<void> => {
      await dataSource.getRepository(Effect).insert(envelopes.map(({ id }) => ({ id })));
    };
    /** How many rows each transaction has written to a table. */
    const transactions = async (table: string): Promise<number[]> => {
      const rows = await world.rows<{ count: number }>(
        `SELECT count(*)::int AS count FROM ${world.schema}.${table} GROUP BY xmin ORDER BY count`,
      );
      return rows.map(({ count }) => count);
    };
    const numbers = (count: number, from = 0): string[] => Array.from({ length: count }, (_, n) => `${from + n}`);
    /** As the database sorts texts. */
    const sorted = (ids: readonly string[]): string[] => ids.toSorted();

    test('a batch is one transaction: ids and effects together', async () => {
      @Injectable()
      class Views {
        constructor(private readonly dataSource: DataSource) {}
        @OnEvents('analytics.page.viewed', { batch: { size: 50, waitMs: 60_000 } })
        add(views: View[]): Promise<void> {
          return save(this.dataSource, views);
        }
      }
      const app = await withStore(Views);
      await publish(app, numbers(100));
      await app.saw('handled', 100);
      expect([await transactions('effects'), await transactions('processed_events')]).toEqual([
        [50, 50],
        [50, 50],
      ]);
      const [{ together }] = (await world.rows(
        `SELECT count(*)::int AS together FROM ${world.schema}.effects e
         JOIN ${world.schema}.processed_events p ON p.event_id = e.id AND p.xmin = e.xmin`,
      )) as [{ together: number }];
      expect(together).toBe(100);
    });

    test('duplicates in a batch and across batches have one effect', async () => {
      const sizes: number[] = [];
      @Injectable()
      class Views {
        constructor(private readonly dataSource: DataSource) {}
        @OnEvents('analytics.page.viewed', { batch: { size: 12, waitMs: 60_000 } })
        add(views: View[]): Promise<void> {
          sizes.push(views.length);
          return save(this.dataSource, views);
        }
      }
      const app = await withStore(Views);
      const first = numbers(6);
      await publish(app, [...first, ...first]);
      await app.saw('handled', 6);
      await app.saw('duplicate', 6);
      await publish(app, [...first, ...numbers(6, 6)]);
      await app.saw('duplicate', 12);
      await publish(app, [...first, ...first]);
      await app.saw('duplicate', 24);
      expect(sizes).toEqual([6, 6]);
      expect(await world.effects()).toEqual(sorted(numbers(12)));
    });

    test('a batch that fails leaves no row; then the neighbours of the bad event have one effect each', async () => {
      const gate = new Gate();
      let failed = false;
      @Injectable()
      class Views {
        constructor(private readonly dataSource: DataSource) {}
        @OnEvents('analytics.page.viewed', { id: 'views', batch: { size: 20, waitMs: 60_000 } })
        async add(views: View[]): Promise<void> {
          if (failed) await gate.passed;
          await save(this.dataSource, views);
          failed ||= views.some(({ data }) => data.n === 7);
          if (views.some(({ data }) => data.n === 7)) throw new Error('page 7 is unknown');
        }
      }
      const app = await withStore(Views);
      await publish(app, numbers(20));
      await eventually(() => failed, { what: 'the first failure' });
      expect([await world.count('effects'), await world.count('processed_events')]).toEqual([0, 0]);
      gate.open();

      await app.saw('handled', 19);
      await app.saw('dead-lettered');
      expect(await world.effects()).toEqual(sorted(numbers(20).filter((id) => id !== '7')));
      expect(await world.count('processed_events')).toBe(19);
      expect(app.of('handled')).toHaveLength(19);
      expect(await app.deadLetters('views')).toMatchObject([
        { eventId: '7', attempts: 4, error: { message: 'page 7 is unknown' } },
      ]);
    });

    test('those that the handler names are left out of the next transaction, with all that they had written', async () => {
      @Injectable()
      class Views {
        constructor(private readonly dataSource: DataSource) {}
        @OnEvents('analytics.page.viewed', { id: 'views', batch: { size: 10, waitMs: 60_000 } })
        async add(views: View[]): Promise<void> {
          await save(this.dataSource, views);
          const failures = views.flatMap(({ data }, index) =>
            data.n % 5 === 4 ? [{ index, error: new Error(`page ${data.n} is unknown`) }] : [],
          );
          if (failures.length > 0) throw new BatchError(failures);
        }
      }
      const app = await withStore(Views);
      await publish(app, numbers(10));
      await app.saw('handled', 8);
      await app.saw('dead-lettered', 2);
      expect(await world.effects()).toEqual(sorted(numbers(10).filter((id) => id !== '4' && id !== '9')));
      expect(await transactions('effects')).toEqual([8]);
      expect((await app.deadLetters('views')).map(({ eventId, attempts }) => [eventId, attempts]).sort()).toEqual([
        ['4', 4],
        ['9', 4],
      ]);
    });

    test('an event that the database itself refuses is found, and nothing of it stays', async () => {
      @Injectable()
      class Views {
        constructor(private readonly dataSource: DataSource) {}
        @OnEvents('analytics.page.viewed', { id: 'views', batch: { size: 8, waitMs: 60_000 } })
        async add(views: View[]): Promise<void> {
          await this.dataSource.query(
            `INSERT INTO ${world.schema}.effects (id, note) SELECT id, (10 / n)::text FROM unnest($1::text[], $2::int[]) AS v (id, n)`,
            [views.map(({ id }) => id), views.map(({ data }) => data.n)],
          );
        }
      }
      const app = await withStore(Views);
      await publish(app, numbers(8));
      await app.saw('handled', 7);
      await app.saw('dead-lettered');
      expect(await world.effects()).toEqual(numbers(7, 1));
      expect(await app.deadLetters('views')).toMatchObject([{ eventId: '0', error: { message: 'division by zero' } }]);
    });

    test('a conflict with another transaction makes the batch run again, whole, and uses up no attempt', async () => {
      const sizes: number[] = [];
      @Injectable()
      class Views {
        constructor(private readonly dataSource: DataSource) {}
        @OnEvents('analytics.page.viewed', { batch: { size: 10, waitMs: 60_000 }, retry: { attempts: 1 } })
        async add(views: View[]): Promise<void> {
          sizes.push(views.length);
          await save(this.dataSource, views);
          if (sizes.length > 3) return;
          await this.dataSource.query(
            `DO $$ BEGIN RAISE EXCEPTION 'could not serialize' USING ERRCODE = '40001'; END $$`,
          );
        }
      }
      const app = await withStore(Views);
      await publish(app, numbers(10));
      await app.saw('handled', 10);
      expect(sizes).toEqual([10, 10, 10, 10]);
      expect(await transactions('effects')).toEqual([10]);
      expect(app.of('dead-lettered')).toEqual([]);
    });

    test('closing in the middle of a batch, again and again, loses nothing and repeats nothing', async () => {
      const broker = new MemoryBroker();
      @Injectable()
      class Views {
        constructor(private readonly dataSource: DataSource) {}
        @OnEvents('analytics.page.viewed', { id: 'views', concurrency: 2, batch: { size: 15, waitMs: 2 } })
        add(views: View[]): Promise<void> {
          return save(this.dataSource, views);
        }
      }
      broker.declare('shop.views', ['analytics.page.viewed']);
      const options = { transports: [memory({ broker })] };
      const publisher = await start({ options });
      await publish(publisher, numbers(300));
      let handled = 0;
      for (let round = 0; handled < 300; round++) {
        expect(round).toBeLessThan(20);
        const app = await withStore(Views, options);
        await app.saw('handled', Math.min(30, 300 - handled));
        await app.close();
        handled += app.of('handled').length;
        expect(app.of('duplicate')).toEqual([]);
      }
      expect(handled).toBe(300);
      expect(await world.count('effects')).toBe(300);
    });

    const brokers: [string, () => TransportDefinition][] = [
      ['kafka', () => kafka({ brokers: (process.env['KAFKA_BROKERS'] ?? '').split(','), heartbeatIntervalMs: 500 })],
      ['rabbitmq', () => rabbitmq({ url: process.env['RABBITMQ_URL'] ?? '' })],
    ];
    for (const [name, transport] of brokers) {
      const variable = name === 'kafka' ? 'KAFKA_BROKERS' : 'RABBITMQ_URL';
      withBroker(name, variable, () => {
        test(`on ${name}, events delivered three times have one effect each, in order per key`, async () => {
          const [domain, service] = [uniqueWord('views'), uniqueWord('service')];
          const seen: View[] = [];
          @Injectable()
          class Views {
            constructor(private readonly dataSource: DataSource) {}
            @OnEvents(`${domain}.page.viewed`, { batch: { size: 40, waitMs: 10 } })
            async add(views: View[]): Promise<void> {
              await save(this.dataSource, views);
              seen.push(...views);
            }
          }
          const app = await withStore(Views, { service, transports: [transport()] });
          const ids = numbers(210);
          for (let n = 0; n < 3; n++) await publish(app, ids, `${domain}.page.viewed`);
          await app.saw('handled', 210);
          await app.saw('duplicate', 420);
          expect(await world.effects()).toEqual(sorted(ids));
          for (let key = 0; key < 7; key++) {
            const ofKey = seen.filter((view) => view.key === `key-${key}`).map(({ data }) => data.n);
            expect(ofKey).toEqual(ids.map(Number).filter((n) => n % 7 === key));
          }
        });
      });
    }
  });
});

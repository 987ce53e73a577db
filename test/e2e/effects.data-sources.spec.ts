import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Injectable, type DynamicModule } from '@nestjs/common';
import { InjectDataSource, InjectEntityManager, InjectRepository, TypeOrmModule } from '@nestjs/typeorm';
import type { DataSource, EntityManager, Repository } from 'typeorm';
import { EventBus, OnEvent, type Envelope } from '../../lib/index.js';
import { outsideTransaction, typeormIdempotency, typeormOutbox } from '../../lib/typeorm.js';
import { withBroker } from '../support/brokers.js';
import { useApps, type TestApp } from '../support/nest-app.js';
import { Effect, TypeormWorld } from '../support/typeorm-world.js';

withBroker('postgres', 'DATABASE_URL', (url) => {
  describe('an application with two DataSources', () => {
    const start = useApps();
    let orders: TypeormWorld;
    let audit: TypeormWorld;
    let app: TestApp;

    beforeEach(async () => {
      [orders, audit] = [await TypeormWorld.open(url), await TypeormWorld.open(url)];
    });
    afterEach(async () => {
      // First what uses the schemas.
      await app.close();
      await audit.close();
      await orders.close();
    });

    @Injectable()
    class Confirmations {
      /** How often the handler is to fail at its end. */
      failures = 0;
      runs = 0;

      constructor(
        @InjectRepository(Effect, 'orders') private readonly orders: Repository<Effect>,
        @InjectRepository(Effect, 'audit') private readonly audit: Repository<Effect>,
        @InjectEntityManager('audit') private readonly auditManager: EntityManager,
        @InjectDataSource('orders') private readonly orderSource: DataSource,
        private readonly bus: EventBus,
      ) {}

      @OnEvent('orders.order.placed', { id: 'confirmations' })
      async confirm(_: unknown, { id }: Envelope): Promise<void> {
        const run = ++this.runs;
        await this.orders.insert({ id: `${id}-${run}` });
        await this.orderSource.transaction((manager) => manager.insert(Effect, { id: `${id}-${run}-nested` }));
        await this.audit.insert({ id: `${id}-${run}` });
        await this.auditManager.transaction((manager) => manager.insert(Effect, { id: `${id}-${run}-nested` }));
        await outsideTransaction(this.orderSource, () => this.orders.insert({ id: `${id}-${run}-outside` }));
        await this.bus.publish('orders.order.confirmed', { run });
        if (run <= this.failures) throw new Error('failed at its end');
      }
    }

    @Injectable()
    class Downstream {
      readonly seen: Envelope[] = [];

      @OnEvent('orders.order.confirmed', { id: 'downstream', idempotent: false })
      see(_: unknown, envelope: Envelope): void {
        this.seen.push(envelope);
      }
    }

    const dataSource = (name: string, world: TypeormWorld): DynamicModule =>
      TypeOrmModule.forRoot({ name, type: 'postgres', url, schema: world.schema, entities: [Effect] });

    /** With one failing attempt before the one that succeeds. */
    const run = async (outbox: 'orders' | 'audit'): Promise<{ confirmed: Envelope[] }> => {
      const worlds = { orders, audit };
      app = await start({
        options: {
          idempotency: typeormIdempotency({ dataSource: 'orders', schema: orders.schema }),
          outbox: typeormOutbox({ dataSource: outbox, schema: worlds[outbox].schema }),
        },
        imports: [
          dataSource('orders', orders),
          dataSource('audit', audit),
          TypeOrmModule.forFeature([Effect], 'orders'),
          TypeOrmModule.forFeature([Effect], 'audit'),
        ],
        providers: [Confirmations, Downstream],
      });
      app.module.get(Confirmations).failures = 1;
      await app.bus.publish('orders.order.placed', {}, { id: 'one' });
      await app.bus.publish('orders.order.placed', {}, { id: 'one' });
      await app.saw('duplicate');
      // One, or the two that the attempts sent.
      await app.saw('handled', outbox === 'orders' ? 2 : 3);
      return { confirmed: app.module.get(Downstream).seen };
    };

    test('the transaction is that of the named one; what a handler writes to the other stays', async () => {
      await run('orders');
      expect(await orders.effects()).toEqual(['one-1-outside', 'one-2', 'one-2-nested', 'one-2-outside']);
      expect(await audit.effects()).toEqual(['one-1', 'one-1-nested', 'one-2', 'one-2-nested']);
      expect(await orders.rows(`SELECT consumer, event_id FROM ${orders.schema}.processed_events`)).toEqual([
        { consumer: 'shop.confirmations', event_id: 'one' },
      ]);
    });

    test('an outbox on the same one: what is published belongs to the transaction', async () => {
      const { confirmed } = await run('orders');
      expect(app.logger.messages('warn').join()).not.toContain('different databases');
      expect(confirmed.map(({ data }) => data)).toEqual([{ run: 2 }]);
      expect(app.of('enrolled')).toHaveLength(2);
      expect(app.of('published').filter(({ event }) => event === 'orders.order.confirmed')).toHaveLength(1);
    });

    test('an outbox on the other one: no transaction of it is open, so events go out at once, with an id that stays', async () => {
      const { confirmed } = await run('audit');
      expect(app.logger.messages('warn').join()).toContain('idempotency and outbox have different databases');
      // From both attempts; consumers tell by the id that they are one.
      expect(confirmed.map(({ data }) => data)).toEqual([{ run: 1 }, { run: 2 }]);
      expect(new Set(confirmed.map(({ id }) => id)).size).toBe(1);
      expect(app.of('enrolled')).toEqual([]);
    });
  });
});

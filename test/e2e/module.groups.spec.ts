import { expect, test } from '@jest/globals';
import { Injectable, Module } from '@nestjs/common';
import { EventsModule, MemoryBroker, OnEvent, memory } from '../../lib/index.js';
import { Gate, eventually } from '../support/eventually.js';
import { useApps } from '../support/nest-app.js';

const start = useApps();

test('a group is the service, that of the Nest module, or that of the handler: the nearest wins', async () => {
  @Injectable()
  class Emails {
    @OnEvent('orders.order.placed', { id: 'email' })
    send(): void {}
  }
  @Injectable()
  class Analytics {
    @OnEvent('orders.order.placed', { id: 'count' })
    count(): void {}
    @OnEvent('orders.order.placed', { id: 'score', group: 'scoring' })
    score(): void {}
  }
  @Module({ imports: [EventsModule.forFeature({ group: 'analytics' })], providers: [Analytics] })
  class AnalyticsModule {}
  const app = await start({ imports: [AnalyticsModule], providers: [Emails] });

  await app.bus.publish('orders.order.placed', null);

  const handled = await app.saw('handled', 3);
  expect(handled.map(({ group, handler }) => `${group}.${handler}`).sort()).toEqual([
    'analytics.count',
    'scoring.score',
    'shop.email',
  ]);
});

test('the same class in two modules with groups of their own handles each event once per group', async () => {
  @Injectable()
  class Counter {
    @OnEvent('orders.order.placed', { id: 'count' })
    count(): void {}
  }
  @Module({ imports: [EventsModule.forFeature({ group: 'north' })], providers: [Counter] })
  class NorthModule {}
  @Module({ imports: [EventsModule.forFeature({ group: 'south' })], providers: [Counter] })
  class SouthModule {}
  const app = await start({ imports: [NorthModule, SouthModule] });
  await app.bus.publish('orders.order.placed', null);
  const handled = await app.saw('handled', 2);
  expect(handled.map(({ group }) => group).sort()).toEqual(['north', 'south']);
});

test('a failing group does not disturb another: own failures, own dead letters', async () => {
  @Injectable()
  class Emails {
    @OnEvent('orders.order.placed', { id: 'email' })
    send(): void {}
  }
  @Injectable()
  class Analytics {
    @OnEvent('orders.order.placed', { id: 'count' })
    count(): void {
      throw new Error('analytics is down');
    }
  }
  @Module({ imports: [EventsModule.forFeature({ group: 'analytics' })], providers: [Analytics] })
  class AnalyticsModule {}
  const app = await start({ imports: [AnalyticsModule], providers: [Emails] });
  const { id } = await app.bus.publish('orders.order.placed', { total: 1 });
  await app.saw('dead-lettered');
  expect(app.of('handled')).toMatchObject([{ group: 'shop', handler: 'email', attempt: 1 }]);
  expect(await app.deadLetters('count', 'analytics')).toMatchObject([{ eventId: id, attempts: 4 }]);
  expect(await app.deadLetters('email')).toEqual([]);
});

test('two instances of a service share its events; two services each get all', async () => {
  const broker = new MemoryBroker();
  const calls: string[] = [];
  const gate = new Gate();
  @Injectable()
  class Emails {
    @OnEvent('orders.order.placed', { id: 'email', concurrency: 1 })
    async send(): Promise<void> {
      calls.push('call');
      await gate.passed;
    }
  }
  const instance = (service: string): ReturnType<typeof start> =>
    start({ options: { service, transports: [memory({ broker })] }, providers: [Emails] });
  const [first, second, other] = await Promise.all([instance('shop'), instance('shop'), instance('warehouse')]);

  for (let n = 0; n < 6; n++) await first.bus.publish('orders.order.placed', { n }, { key: `${n}` });

  await eventually(() => calls.length === 3, { what: 'one running handler in each instance' });
  gate.open();
  await other.saw('handled', 6);
  await eventually(() => first.of('handled').length + second.of('handled').length === 6);
  const ids = [...first.of('handled'), ...second.of('handled')].map(({ id }) => id);
  expect(new Set(ids).size).toBe(6);
  expect(first.of('handled').length).toBeGreaterThan(0);
  expect(second.of('handled').length).toBeGreaterThan(0);
});

test('options of a handler replace single ones of the module', async () => {
  let calls = 0;
  @Injectable()
  class Emails {
    @OnEvent('orders.order.placed', { id: 'email', retry: { attempts: 2 } })
    send(): void {
      calls++;
      throw new Error('never');
    }
  }
  const app = await start({ providers: [Emails] });
  await app.bus.publish('orders.order.placed', null);
  await app.saw('dead-lettered');
  expect(calls).toBe(2);
  expect(app.of('retried')).toMatchObject([{ afterMs: 5 }]);
});

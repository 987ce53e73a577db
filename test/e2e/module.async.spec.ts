import { expect, test } from '@jest/globals';
import { Injectable, Module } from '@nestjs/common';
import { EventBus, EventsModule, MemoryBroker, OnEvent, memory, type EventsModuleOptions } from '../../lib/index.js';
import { useApps } from '../support/nest-app.js';

const start = useApps();

@Injectable()
class Config {
  readonly service = 'configured';
}
@Module({ providers: [Config], exports: [Config] })
class ConfigModule {}
@Injectable()
class Emails {
  @OnEvent('orders.order.placed')
  send(): void {}
}

test('useFactory gets what it injects, and may be async', async () => {
  const events = EventsModule.forRootAsync({
    imports: [ConfigModule],
    inject: [Config],
    useFactory: async (config: Config): Promise<EventsModuleOptions> => {
      await Promise.resolve();
      return { service: config.service };
    },
  });
  const app = await start({ events, providers: [Emails] });
  const { source } = await app.bus.publish('orders.order.placed', null);
  expect(source).toBe('configured');
  expect(await app.saw('handled')).toMatchObject([{ group: 'configured' }]);
});

test('useClass makes the options', async () => {
  @Injectable()
  class Options {
    create(): EventsModuleOptions {
      return { service: 'by-class', transports: [memory({ name: 'mine', broker: new MemoryBroker() })] };
    }
  }
  const app = await start({ events: EventsModule.forRootAsync({ useClass: Options }), providers: [Emails] });
  await app.bus.publish('orders.order.placed', null);
  expect(await app.saw('handled')).toMatchObject([{ group: 'by-class', transport: 'mine' }]);
});

test('options that a factory gets wrong are refused like others', async () => {
  const events = EventsModule.forRootAsync({ useFactory: () => ({ service: 'shop', concurrency: -1 }) });
  await expect(start({ events })).rejects.toMatchObject({ code: 'EVENTS_OPTIONS_INVALID' });
});

test('EventBus is there for every module without importing EventsModule again', async () => {
  @Injectable()
  class Checkout {
    constructor(readonly bus: EventBus) {}
  }
  @Module({ providers: [Checkout], exports: [Checkout] })
  class CheckoutModule {}
  const app = await start({ imports: [CheckoutModule], providers: [Emails] });
  await app.module.get(Checkout, { strict: false }).bus.publish('orders.order.placed', null);
  await app.saw('handled');
});

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Injectable, type Provider } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  ActivityStream,
  EventBus,
  EventsRelayModule,
  memory,
  MemoryBroker,
  OnEvent,
  Outbox,
  type Activity,
  type Envelope,
  type EventsRelayModuleOptions,
  type TransportDefinition,
} from '../../lib/index.js';
import { typeormIdempotency, typeormOutbox, type TypeormOutboxOptions } from '../../lib/typeorm.js';
import { withBroker } from '../support/brokers.js';
import { eventually } from '../support/eventually.js';
import { useApps, type AppParts, type TestApp } from '../support/nest-app.js';
import { TypeormWorld } from '../support/typeorm-world.js';

const NAME = 'orders.order.placed';

/** A transport whose publish can be taken over by a test. */
function controlled(publish: (envelope: Envelope, send: () => Promise<void>) => Promise<void>): TransportDefinition {
  const definition = memory();
  return {
    ...definition,
    create: (environment) => {
      const transport = definition.create(environment);
      const send = transport.publish.bind(transport);
      transport.publish = (envelope) => publish(envelope, () => send(envelope));
      return transport;
    },
  };
}

withBroker('postgres', 'DATABASE_URL', (url) => {
  let world: TypeormWorld;
  let relays: (() => Promise<void>)[];
  beforeEach(async () => {
    world = await TypeormWorld.open(url);
    relays = [];
  });
  const start = useApps();
  afterEach(() => Promise.all(relays.map((close) => close())));
  // In this order: the database last.
  afterEach(() => world.close());

  const outbox = (options: TypeormOutboxOptions = {}) =>
    typeormOutbox({ dataSource: world.dataSource, schema: world.schema, ...options });
  const app = (options: AppParts['options'], providers: Provider[] = []): Promise<TestApp> =>
    start({ options: { outbox: outbox(), ...options }, providers });
  /** An application without handlers that relays. */
  const relay = async (options: Partial<EventsRelayModuleOptions>) => {
    const module = await Test.createTestingModule({
      imports: [EventsRelayModule.forRoot({ service: 'relay', outbox: outbox(), ...options })],
    }).compile();
    const activities: Activity[] = [];
    module.get(ActivityStream).activities.subscribe((activity) => activities.push(activity));
    await module.init();
    relays.push(() => module.close());
    return { module, activities, close: () => module.close() };
  };

  describe('publishing later', () => {
    test('is enrolled in a transaction of its own, and published when its time has come', async () => {
      const { bus, saw, of, module } = bound(await app({}));
      const before = Date.now();
      await bus.publish(NAME, 1, { delayMs: 200, key: 'k' });
      await bus.publishAll([
        { name: NAME, data: 2, key: 'k' },
        { name: NAME, data: 3, key: 'k', notBefore: new Date(Date.now() + 250) },
        { name: NAME, data: 4, key: 'k', notBefore: '2099-01-01T00:00:00Z' },
      ]);
      expect(of('enrolled')).toHaveLength(3);
      expect(of('published')).toHaveLength(1);
      await saw('published', 3);
      expect(Date.now() - before).toBeGreaterThan(240);
      await eventually(async () => (await module.get(Outbox).lag()).waiting === 0);
      expect(await module.get(Outbox).lag()).toMatchObject({ delayed: 1 });
    });

    test('goes with the transaction that is open', async () => {
      const { bus, module, of } = bound(await app({}));
      const failing = bus.transactional(async () => {
        await bus.publish(NAME, 1, { delayMs: 1 });
        throw new Error('rolled back');
      });
      await expect(failing).rejects.toThrow('rolled back');
      await world.dataSource.transaction((manager) => bus.publish(NAME, 2, { delayMs: 3_600_000, manager }));
      expect(await module.get(Outbox).lag()).toMatchObject({ delayed: 1 });
      expect(of('published')).toEqual([]);
    });

    test('is refused where it makes no sense', async () => {
      const { bus } = await start();
      const refused = {
        code: 'EVENTS_DELAY_UNSUPPORTED',
        remedy: expect.stringContaining('typeormOutbox()') as unknown,
      };
      await expect(bus.publish(NAME, 1, { delayMs: 1 })).rejects.toMatchObject(refused);
      await expect(bus.publishAll([{ name: NAME, data: 1, notBefore: new Date() }])).rejects.toMatchObject(refused);
      await bus.publish(NAME, 1, { delayMs: 0 });
      const withOutbox = await app({});
      await expect(withOutbox.bus.publish(NAME, 1, { delayMs: -1 })).rejects.toMatchObject({
        code: 'EVENTS_DELAY_INVALID',
      });
    });
  });

  test('an application that only enrols leaves relaying to another one, in order per key', async () => {
    const broker = new MemoryBroker();
    const seen: number[] = [];
    @Injectable()
    class Handlers {
      @OnEvent('orders.order.paid')
      paid(n: number): void {
        seen.push(n);
      }
    }
    const transports = [memory({ broker })];
    const enrolling = await app({ transports, outbox: outbox({ relay: false }) }, [Handlers]);
    await enrolling.bus.transactional(async () => {
      for (let n = 0; n < 50; n++) await enrolling.bus.publish('orders.order.paid', n, { key: 'k' });
    });
    expect(await enrolling.module.get(Outbox).lag()).toMatchObject({ waiting: 50 });
    const { activities, module } = await relay({ transports });
    await enrolling.saw('handled', 50);
    expect(seen).toEqual(Array.from({ length: 50 }, (_, n) => n));
    expect(enrolling.of('published')).toEqual([]);
    expect(activities.filter(({ type }) => type === 'published')).toHaveLength(50);
    await eventually(async () => (await module.get(Outbox).lag()).waiting === 0);
  });

  test('a handler’s events are published if and only if its transaction commits', async () => {
    let fails = true;
    @Injectable()
    class Orders {
      constructor(private readonly events: EventBus) {}
      @OnEvent(NAME)
      async placed(): Promise<void> {
        await this.events.publish('orders.order.paid', { fails });
        if (!fails) return;
        fails = false;
        throw new Error('once more');
      }
    }
    const idempotency = typeormIdempotency({ dataSource: world.dataSource, schema: world.schema });
    const { bus, saw, of } = bound(await app({ idempotency }, [Orders]));
    await bus.publish(NAME, 1);
    await saw('published', 2);
    expect(of('enrolled').map(({ id }) => id)).toEqual(Array(2).fill(of('published')[1]?.id));
  });

  test('without an outbox there is nothing to look into', async () => {
    const { module } = await start();
    await expect(module.get(Outbox).lag()).rejects.toMatchObject({ code: 'EVENTS_OUTBOX_MISSING' });
  });

  test('an event that is refused again and again is parked, can be repaired and released', async () => {
    let refuses = true;
    const transport = controlled((_, send) => (refuses ? Promise.reject(new Error('refused')) : send()));
    const { bus, saw, logger, module } = bound(
      await app({ transports: [transport], outbox: outbox({ parkAfter: 2, pollMs: 20 }) }),
    );
    const { id } = await bus.transactional(() => bus.publish(NAME, 1, { key: 'k' }));
    expect(await saw('relay-parked')).toMatchObject([{ id, event: NAME, transport: 'memory' }]);
    expect(logger.messages('error')).toContainEqual(expect.stringContaining('parked after 2 attempts'));
    const parked = await module.get(Outbox).parked();
    expect(parked).toMatchObject([{ id, attempts: 2, error: 'refused', envelope: { data: 1 } }]);
    refuses = false;
    expect(await module.get(Outbox).release([id])).toBe(1);
    expect(await saw('published')).toMatchObject([{ id }]);
    expect(await module.get(Outbox).discard([id])).toBe(0);
  });

  test('stops within the deadline while the transport hangs; what it did not confirm is sent by the next', async () => {
    const broker = new MemoryBroker();
    const sent: unknown[] = [];
    const hanging = controlled(async ({ data }, send) => {
      sent.push(data);
      if (data !== 'quick') await new Promise(() => undefined);
      await send();
    });
    const first = await app({ transports: [hanging], drainTimeoutMs: 300 });
    await first.bus.transactional(async () => {
      for (const data of ['quick', 'slow', 'slower']) await first.bus.publish(NAME, data);
    });
    await eventually(() => sent.length === 3);
    const before = performance.now();
    await first.close();
    expect(performance.now() - before).toBeLessThan(2_000);
    const rows = await world.rows(`SELECT envelope->>'data' AS data FROM ${world.schema}.outbox ORDER BY position`);
    expect(rows).toEqual([{ data: 'slow' }, { data: 'slower' }]);

    const next = await app({ transports: [memory({ broker })] });
    await next.saw('published', 2);
  });

  test('events of a transport that nobody here has wait, with a warning, for a relay that has it', async () => {
    const broker = new MemoryBroker();
    const enrolling = await app({
      transports: [memory({ name: 'first' }), memory({ name: 'second', broker })],
      outbox: outbox({ relay: false }),
    });
    const { bus } = enrolling;
    await bus.transactional(async () => {
      await bus.publish(NAME, 1, { transport: 'first' });
      await bus.publish(NAME, 2, { transport: 'second' });
    });
    const first = await relay({ transports: [memory({ name: 'first' })] });
    await eventually(() => first.activities.some(({ type }) => type === 'published'));
    expect(await enrolling.module.get(Outbox).lag()).toMatchObject({ waiting: 1, parked: 0 });
    const second = await relay({ transports: [memory({ name: 'second', broker })] });
    await eventually(() => second.activities.some(({ type }) => type === 'published'));
    expect([...first.activities, ...second.activities].filter(({ type }) => type === 'relay-failed')).toEqual([]);
  });

  test('a relay in another process is woken by NOTIFY', async () => {
    const notify = { notify: true, pollMs: 3_600_000 };
    const broker = new MemoryBroker();
    const transports = [memory({ broker })];
    const { activities } = await relay({
      transports,
      outbox: outbox({ ...notify, dataSource: await world.connect() }),
    });
    const { bus } = await app({ transports, outbox: outbox({ ...notify, relay: false }) });
    for (let n = 1; n <= 3; n++) {
      await bus.transactional(() => bus.publish(NAME, n));
      await eventually(() => activities.filter(({ type }) => type === 'published').length === n);
    }
  });

  describe('EventsRelayModule', () => {
    test('refuses options that are none of its', async () => {
      const refuses = async (options: object, message: string): Promise<void> => {
        await expect(relay(options)).rejects.toMatchObject({
          code: 'EVENTS_OPTIONS_INVALID',
          message: expect.stringContaining(message) as unknown,
        });
      };
      await refuses({ outbox: undefined }, 'outbox is missing');
      await refuses({ outbox: outbox({ relay: false }) }, 'relay: false');
      await refuses({ concurrency: 5 }, 'concurrency is not an option');
      await refuses({ service: '' }, 'service must be a name');
    });

    test('takes its options from a factory', async () => {
      const module = await Test.createTestingModule({
        imports: [
          EventsRelayModule.forRootAsync({
            useFactory: () => ({ service: 'relay', transports: [memory()], outbox: outbox() }),
          }),
        ],
      }).compile();
      await module.init();
      expect(await module.get(Outbox).lag()).toMatchObject({ waiting: 0 });
      await module.close();
    });

    test('that fails to start leaves nothing open', async () => {
      const broken: TransportDefinition = {
        ...memory(),
        create: (environment) => ({
          ...memory().create(environment),
          connect: () => Promise.reject(new Error('nobody there')),
          close: () => Promise.resolve(),
        }),
      };
      await expect(relay({ transports: [broken] })).rejects.toThrow('nobody there');
    });
  });
});

/** Its methods, to be taken out of it. */
function bound(app: TestApp): Pick<TestApp, 'bus' | 'module' | 'logger' | 'of' | 'saw'> {
  return { bus: app.bus, module: app.module, logger: app.logger, of: app.of.bind(app), saw: app.saw.bind(app) };
}

import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { ActivityStream, EventsRelayModule, OnEvent, Outbox, Payload, type Activity } from '../../lib/index.js';
import { kafka } from '../../lib/kafka.js';
import { rabbitmq } from '../../lib/rabbitmq.js';
import { typeormOutbox } from '../../lib/typeorm.js';
import { withBroker } from '../support/brokers.js';
import { eventually } from '../support/eventually.js';
import { useApps } from '../support/nest-app.js';
import { RecordingLogger } from '../support/recording-logger.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { TypeormWorld } from '../support/typeorm-world.js';
import { uniqueWord } from '../support/unique.js';

const brokers = (process.env['KAFKA_BROKERS'] ?? '').split(',');
const onKafka = () => kafka({ brokers });
const onRabbitmq = (url = process.env['RABBITMQ_URL'] ?? '') => rabbitmq({ url });

withBroker('kafka, RabbitMQ and postgres', 'KAFKA_BROKERS', () => {
  let world: TypeormWorld;
  let closing: (() => Promise<unknown>)[];
  beforeEach(async () => {
    world = await TypeormWorld.open(process.env['DATABASE_URL'] ?? '');
    closing = [];
  });
  const start = useApps();
  // The database last.
  afterEach(async () => {
    await Promise.all(closing.map((close) => close()));
    await world.close();
  });

  const outbox = async (options = {}) =>
    typeormOutbox({ dataSource: await world.connect(), schema: world.schema, ...options });
  const relay = async (transports: ReturnType<typeof onKafka>[]) => {
    const module = await Test.createTestingModule({
      imports: [EventsRelayModule.forRoot({ service: 'relay', transports, outbox: await outbox() })],
    }).compile();
    const activities: Activity[] = [];
    module.get(ActivityStream).activities.subscribe((activity) => activities.push(activity));
    await module.init();
    closing.push(() => module.close());
    return { module, activities };
  };

  test('two relays publish to Kafka and RabbitMQ, each key in order', async () => {
    const domain = uniqueWord('relay');
    const seen = { kafka: [] as [string, number][], rabbitmq: [] as [string, number][] };
    @Injectable()
    class Handlers {
      @OnEvent(`${domain}.order.placed`, { transport: 'kafka' })
      fromKafka(@Payload() [key, n]: [string, number]): void {
        seen.kafka.push([key, n]);
      }
      @OnEvent(`${domain}.order.placed`, { transport: 'rabbitmq' })
      fromRabbitmq(@Payload() [key, n]: [string, number]): void {
        seen.rabbitmq.push([key, n]);
      }
    }
    const app = await start({
      providers: [Handlers],
      options: { service: domain, transports: [onKafka(), onRabbitmq()], outbox: await outbox({ relay: false }) },
    });
    const relays = [await relay([onKafka(), onRabbitmq()]), await relay([onKafka(), onRabbitmq()])];
    for (let n = 0; n < 20; n++) {
      const events = Array.from({ length: 10 }, (_, key) => ({
        ...{ name: `${domain}.order.placed`, key: `k${key}`, data: [`k${key}`, n] },
      }));
      await app.bus.transactional(async () => {
        await app.bus.publishAll(events.map((event) => ({ ...event, transport: 'kafka' })));
        await app.bus.publishAll(events.map((event) => ({ ...event, transport: 'rabbitmq' })));
      });
    }
    for (const transport of ['kafka', 'rabbitmq'] as const) {
      await eventually(() => seen[transport].length === 200, { what: `200 events from ${transport}` });
      for (let key = 0; key < 10; key++) {
        const numbers = seen[transport].filter(([of]) => of === `k${key}`).map(([, n]) => n);
        expect(numbers).toEqual(Array.from({ length: 20 }, (_, n) => n));
      }
    }
    const published = relays.map(({ activities }) => activities.filter(({ type }) => type === 'published').length);
    expect((published[0] as number) + (published[1] as number)).toBe(400);
    await eventually(async () => (await relays[0]?.module.get(Outbox).lag())?.waiting === 0);
  });

  test('while RabbitMQ is away its events wait, uncounted, and those for Kafka go on', async () => {
    const domain = uniqueWord('relay');
    const url = new URL(process.env['RABBITMQ_URL'] ?? '');
    const proxy = await TcpProxy.start({ host: url.hostname, port: Number(url.port) });
    url.hostname = '127.0.0.1';
    url.port = String(proxy.port);
    const module = await Test.createTestingModule({
      imports: [
        EventsRelayModule.forRoot({
          ...{ service: 'relay', transports: [onKafka(), onRabbitmq(url.href)], publishTimeoutMs: 300 },
          outbox: await outbox(),
        }),
      ],
    })
      .setLogger(new RecordingLogger())
      .compile();
    const activities: Activity[] = [];
    module.get(ActivityStream).activities.subscribe((activity) => activities.push(activity));
    const published = (transport: string): number =>
      activities.filter((activity) => activity.type === 'published' && activity.transport === transport).length;
    await module.init();
    closing.push(async () => {
      await module.close();
      await proxy.close();
    });
    const app = await start({
      options: { service: domain, transports: [onKafka(), onRabbitmq()], outbox: await outbox({ relay: false }) },
    });
    const enrol = (transport: string): Promise<unknown> =>
      app.bus.transactional(() => app.bus.publish(`${domain}.order.placed`, 1, { key: 'k', transport }));

    proxy.refuse();
    proxy.cut();
    await enrol('rabbitmq');
    await eventually(() => activities.filter(({ type }) => type === 'relay-failed').length >= 2);
    await enrol('kafka');
    await eventually(() => published('kafka') === 1);
    // Forgotten a moment after it was published.
    const rows = () => world.rows(`SELECT transport, state, attempts FROM ${world.schema}.outbox`);
    await eventually(async () => (await rows()).length === 1);
    expect(await rows()).toEqual([{ transport: 'rabbitmq', state: 'waiting', attempts: 0 }]);
    proxy.accept();
    await eventually(() => published('rabbitmq') === 1);
    expect(activities.filter(({ type }) => type === 'relay-parked')).toEqual([]);
  });
});

import { afterEach, describe, expect, test } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import {
  memory,
  MemoryBroker,
  memoryIdempotency,
  OnEvent,
  type Envelope,
  type OnMissingId,
  type TransportDefinition,
} from '../../lib/index.js';
import { kafka } from '../../lib/kafka.js';
import { rabbitmq } from '../../lib/rabbitmq.js';
import { typeormIdempotency } from '../../lib/typeorm.js';
import { KafkaWorld } from '../transports/kafka.support.js';
import { RabbitmqWorld } from '../transports/rabbitmq.support.js';
import { withBroker } from '../support/brokers.js';
import { useApps, type TestApp } from '../support/nest-app.js';
import { TypeormWorld } from '../support/typeorm-world.js';

/** A broker as a program sees it that knows nothing of this library. */
interface Foreign {
  readonly service: string;
  readonly name: string;
  readonly transport: TransportDefinition;
  send(events: readonly ForeignEvent[]): Promise<void>;
  close(): Promise<void>;
}
interface ForeignEvent {
  /** CloudEvents attributes beside the body. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly contentType: string;
  readonly body: string;
}

const start = useApps();
let foreign: Foreign | undefined;
afterEach(async () => {
  await foreign?.close();
  foreign = undefined;
});

const binary = (name: string, data: unknown): ForeignEvent => ({
  attributes: { specversion: '1.0', source: 'legacy', type: name },
  contentType: 'application/json',
  body: JSON.stringify(data),
});
const structured = (name: string, data: unknown): ForeignEvent => ({
  attributes: {},
  contentType: 'application/cloudevents+json',
  body: JSON.stringify({ specversion: '1.0', source: 'legacy', type: name, data }),
});

const withPrefix = (prefix: string, attributes: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(attributes).map(([name, value]) => [prefix + name, value]));

/** Two events, each published twice by somebody who gives no ids. */
const eventsOf = (name: string): ForeignEvent[] => [
  binary(name, { n: 1 }),
  binary(name, { n: 1 }),
  structured(name, { n: 2 }),
  structured(name, { n: 2 }),
];

async function consume(onMissingId?: OnMissingId): Promise<{ app: TestApp; seen: Envelope[] }> {
  const { service, name, transport, send } = foreign as Foreign;
  const seen: Envelope[] = [];

  @Injectable()
  class Handlers {
    @OnEvent(name, { id: 'handler' })
    handle(_: unknown, envelope: Envelope): void {
      seen.push(envelope);
    }
  }

  const idempotency = memoryIdempotency(onMissingId === undefined ? {} : { onMissingId });
  const app = await start({ options: { service, transports: [transport], idempotency }, providers: [Handlers] });
  await send(eventsOf(name));
  return { app, seen };
}

function suite(broker: string, open: () => Promise<Foreign>): void {
  describe(`events without an id on ${broker}`, () => {
    test('are dead letters by default, which say what is missing and what can be done', async () => {
      foreign = await open();
      const { app, seen } = await consume();
      await app.saw('dead-lettered', 4);
      expect(seen).toEqual([]);
      const letters = await app.deadLetters('handler', foreign.service);
      expect(letters).toHaveLength(4);
      for (const { error } of letters) {
        expect(error.code).toBe('EVENTS_UNDECODABLE');
        expect(error.message).toMatch(/attributes are missing: id .*onMissingId: 'hash' \| 'handle'/);
      }
      await app.close();
    });

    test('by their hash: the same content twice is one event', async () => {
      foreign = await open();
      const { app, seen } = await consume('hash');
      await app.saw('duplicate', 2);
      await app.saw('handled', 2);
      expect(seen.map(({ data }) => (data as { n: number }).n).toSorted()).toEqual([1, 2]);
      expect(seen[0]?.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8/);
      await app.close();
    });

    test('handled each time: every delivery is an event of its own', async () => {
      foreign = await open();
      const { app, seen } = await consume('handle');
      await app.saw('handled', 4);
      expect(new Set(seen.map(({ id }) => id)).size).toBe(4);
      expect(app.of('duplicate')).toEqual([]);
      await app.close();
    });
  });
}

suite('memory', async () => {
  const broker = new MemoryBroker();
  const name = 'orders.order.placed';
  return {
    service: 'shop',
    name,
    transport: memory({ broker }),
    send: async (events) => {
      for (const { attributes, contentType, body } of events) {
        const headers = { ...withPrefix('ce_', attributes), 'content-type': contentType };
        broker.publish({ name, key: undefined, headers, body: Buffer.from(body) });
      }
    },
    close: async () => undefined,
  };
});

withBroker('kafka', 'KAFKA_BROKERS', (address) => {
  suite('kafka', async () => {
    const brokers = address.split(',');
    const world = new KafkaWorld(brokers);
    return {
      service: world.domain,
      name: `${world.domain}.order.placed`,
      transport: kafka({ brokers, heartbeatIntervalMs: 300, sessionTimeoutMs: 6_000, partitions: 1 }),
      send: (events) =>
        world.publishRaw(
          `${world.domain}.order`,
          events.map(({ attributes, contentType, body }) => {
            return {
              key: 'k',
              value: body,
              headers: { ...withPrefix('ce_', attributes), 'content-type': contentType },
            };
          }),
        ),
      close: () => world.close(),
    };
  });
});

withBroker('rabbitmq', 'RABBITMQ_URL', (url) => {
  suite('rabbitmq', async () => {
    const world = new RabbitmqWorld();
    const name = 'orders.order.placed';
    world.deletes(world.queue('handler'));
    return {
      service: world.group,
      name,
      transport: rabbitmq({ url, exchange: world.exchange }),
      send: async (events) => {
        const channel = await world.admin();
        for (const { attributes, contentType, body } of events) {
          const headers = withPrefix('cloudEvents_', attributes);
          channel.publish(world.exchange, name, Buffer.from(body), { headers, contentType });
        }
      },
      close: () => world.close(),
    };
  });
});

withBroker('postgres', 'DATABASE_URL', (url) => {
  test('handled each time, an event still is all or nothing with its effect', async () => {
    const world = await TypeormWorld.open(url);
    const broker = new MemoryBroker();
    let runs = 0;

    @Injectable()
    class Handlers {
      @OnEvent('orders.order.placed', { id: 'handler' })
      async handle(): Promise<void> {
        const id = String(++runs);
        await world.dataSource.query(`INSERT INTO ${world.schema}.effects (id) VALUES ($1)`, [id]);
        if (id === '1') throw new Error('failed');
      }
    }

    const idempotency = typeormIdempotency({
      dataSource: world.dataSource,
      schema: world.schema,
      onMissingId: 'handle',
    });
    const app = await start({ options: { transports: [memory({ broker })], idempotency }, providers: [Handlers] });
    const headers = { ce_source: 's', ce_type: 'orders.order.placed' };
    broker.publish({ name: 'orders.order.placed', key: undefined, headers, body: null });
    await app.saw('handled');
    expect(await world.effects()).toEqual(['2']);
    expect(await world.count('processed_events')).toBe(1);
    await app.close();
    await world.close();
  });
});

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { OnEvent } from '../../lib/index.js';
import { kafka } from '../../lib/kafka.js';
import { typeormIdempotency } from '../../lib/typeorm.js';
import { withBroker } from '../support/brokers.js';
import { eventually } from '../support/eventually.js';
import { useApps } from '../support/nest-app.js';
import { TypeormWorld } from '../support/typeorm-world.js';
import { KafkaWorld } from './kafka.support.js';
import { RabbitmqWorld } from './rabbitmq.support.js';

const DAY_MS = 24 * 3_600_000;

withBroker('kafka', 'KAFKA_BROKERS', (address) => {
  describe('kafka tells how long events are kept', () => {
    let world: KafkaWorld;

    beforeEach(() => {
      world = new KafkaWorld(address.split(','));
    });
    afterEach(() => world.close());

    const retentionWith = async (topicConfig: Record<string, string>) => {
      const { transport } = await world.open({ topicConfig });
      const subscriptions = [world.subscription('a', [`${world.domain}.order.*`])];
      await transport.declare(subscriptions);
      return transport.retention?.(subscriptions);
    };

    test.each([
      ['as its topic is set', { 'retention.ms': String(30 * DAY_MS) }, 30 * DAY_MS],
      ['without end', { 'retention.ms': '-1' }, Infinity],
      ['without end where it is only compacted', { 'cleanup.policy': 'compact' }, Infinity],
      ['the broker’s default', {}, 7 * DAY_MS],
    ])('%s', async (_, config, ms) => {
      expect(await retentionWith(config)).toEqual({
        ms,
        where: `the topic "${world.domain}.order"`,
        setting: 'retention.ms',
      });
    });

    test('of several topics, the one that keeps them longest', async () => {
      const { transport: short } = await world.open({ topicConfig: { 'retention.ms': '1000' } });
      const { transport: long } = await world.open({ topicConfig: { 'retention.ms': '2000' } });
      const [first, second] = ['order', 'mail'].map((entity) =>
        world.subscription('a', [`${world.domain}.${entity}.*`]),
      );
      if (first === undefined || second === undefined) throw new Error('two subscriptions');
      await long.declare([second]);
      await short.declare([first]);
      expect(await short.retention?.([first, second])).toMatchObject({
        ms: 2000,
        where: `the topic "${world.domain}.mail"`,
      });
    });
  });

  withBroker('postgres', 'DATABASE_URL', (url) => {
    describe('an application that remembers events for a shorter time than its topics keep them', () => {
      const startApp = useApps();

      test('is warned at its start', async () => {
        const world = await TypeormWorld.open(url);
        const topics = new KafkaWorld(address.split(','));

        @Injectable()
        class Mails {
          @OnEvent(`${topics.domain}.order.placed`, { id: 'mails' })
          send(): void {}
        }
        const app = await startApp({
          options: {
            service: topics.domain,
            transports: [kafka({ brokers: address.split(','), topicConfig: { 'retention.ms': String(8 * DAY_MS) } })],
            idempotency: typeormIdempotency({ dataSource: world.dataSource, schema: world.schema }),
          },
          providers: [Mails],
        });
        await eventually(() =>
          app.logger
            .messages('warn')
            .some(
              (line) => /keeps events for 8 days.*remembered for 7 days/.test(line) && line.includes(topics.domain),
            ),
        );
        await app.close();
        await topics.close();
        await world.close();
      });
    });
  });
});

withBroker('rabbitmq', 'RABBITMQ_URL', () => {
  test('rabbitmq tells how long its queues keep events: the longest of the handlers’', async () => {
    const world = new RabbitmqWorld();
    const transport = await world.connected({ queueTtlMs: DAY_MS });
    const subscriptions = [
      world.subscription('a'),
      world.subscription('b', { transportOptions: { rabbitmq: { queueTtlMs: 2 * DAY_MS } } }),
    ];
    expect(await transport.retention?.(subscriptions)).toEqual({
      ms: 2 * DAY_MS,
      where: `the queue "${world.queue('b')}"`,
      setting: 'queueTtlMs',
    });
    await world.close();
  });
});

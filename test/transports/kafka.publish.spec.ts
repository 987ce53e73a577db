import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { isEventsError } from '../../lib/core/errors.js';
import { kafka } from '../../lib/kafka.js';
import { withBroker } from '../support/brokers.js';
import { KafkaWorld } from './kafka.support.js';

withBroker('kafka', 'KAFKA_BROKERS', (address) => {
  describe('publishing to Kafka', () => {
    let world: KafkaWorld;
    beforeEach(() => {
      world = new KafkaWorld(address.split(','));
    });
    afterEach(() => world.close());

    it('keeps the order of calls per key, however many are asked for at once', async () => {
      const kafka = await world.open();
      await kafka.publishMany(`${world.domain}.order.placed`, 3_000, (n) => ({ key: `key-${n % 7}` }));
      const records = await world.records(`${world.domain}.order`);
      expect(records).toHaveLength(3_000);
      for (let key = 0; key < 7; key++) {
        const mine = records.filter((record) => record.key === `key-${key}`);
        expect(new Set(mine.map(({ partition }) => partition)).size).toBe(1);
        const numbers = mine.map(({ value }) => (JSON.parse(String(value)) as { n: number }).n);
        expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
      }
    });

    it('writes CloudEvents in binary mode, and the key as the record key', async () => {
      const kafka = await world.open({ compression: 'none' });
      const name = `${world.domain}.order.placed`;
      const sent = await kafka.publish(name, { n: 1 }, { key: 'ü 🗝', headers: { text: 'ß' } });
      const [record] = await world.records(`${world.domain}.order`);
      expect(record?.key).toBe('ü 🗝');
      const texts = Object.entries(record?.headers ?? {}).map(([header, value]) => [header, String(value)]);
      expect(Object.fromEntries(texts)).toEqual({
        text: 'ß',
        ce_specversion: '1.0',
        ce_id: sent.id,
        ce_source: 'conformance',
        ce_type: name,
        ce_time: sent.time,
        ce_partitionkey: 'ü 🗝',
        'content-type': 'application/json',
      });
    });

    it('refuses one record that its topic finds too large, and no other of the same send', async () => {
      const topic = `${world.domain}.order`;
      await world.createTopic(topic, 1, { 'max.message.bytes': '20000' });
      const kafka = await world.open({ compression: 'none' });
      const publish = (n: number): Promise<unknown> =>
        kafka.publish(`${topic}.placed`, { n, pad: 'x'.repeat(n === 25 ? 30_000 : 10) }, { key: 'one' });
      const outcomes = await Promise.allSettled(Array.from({ length: 50 }, (_, n) => publish(n)));
      const failed = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []));
      expect(failed.map((error) => isEventsError(error, 'EVENTS_PAYLOAD_TOO_LARGE'))).toEqual([true]);
      const written = (await world.records(topic)).map(({ value }) => (JSON.parse(String(value)) as { n: number }).n);
      expect(written).toEqual(Array.from({ length: 50 }, (_, n) => n).filter((n) => n !== 25));
    });

    it('creates topics as configured, and with autoCreate: false says which one is missing', async () => {
      const kafka = await world.open({ partitions: 5, topicConfig: { 'retention.ms': '3600000' } });
      await kafka.publish(`${world.domain}.order.placed`, {});
      expect((await world.ends(`${world.domain}.order`)).size).toBe(5);
      const strict = await world.open({ autoCreate: false });
      await strict.publish(`${world.domain}.order.placed`, {});
      await expect(strict.publish(`${world.domain}.invoice.sent`, {})).rejects.toMatchObject({
        code: 'EVENTS_TOPIC_MISSING',
        message: expect.stringContaining(`${world.domain}.invoice`) as unknown,
      });
    });

    it('goes on when a topic is deleted under it', async () => {
      const kafka = await world.open();
      const topic = `${world.domain}.order`;
      await kafka.publish(`${topic}.placed`, {});
      await world.admin((admin) => admin.deleteTopics({ topics: [topic] }));
      await kafka.publish(`${topic}.placed`, {});
      expect(await world.records(topic)).toHaveLength(1);
    });

    it('waits for publishes under way before it closes', async () => {
      const kafka = await world.open();
      const publishing = kafka.publishMany(`${world.domain}.order.placed`, 500);
      await Promise.all([publishing, kafka.transport.close()]);
      expect(await world.records(`${world.domain}.order`)).toHaveLength(500);
      await expect(kafka.publish(`${world.domain}.order.placed`, {})).rejects.toMatchObject({
        code: 'EVENTS_TRANSPORT_CLOSED',
      });
    });
  });

  describe('connecting to Kafka', () => {
    const environment = (): KafkaWorld => new KafkaWorld(address.split(','));

    it('says which brokers are not there', async () => {
      const opening = environment().open({ brokers: ['127.0.0.1:1', '127.0.0.1:2'], connectTimeoutMs: 1_500 });
      await expect(opening).rejects.toMatchObject({
        code: 'EVENTS_TRANSPORT_UNREACHABLE',
        message: expect.stringContaining('127.0.0.1:1, 127.0.0.1:2') as unknown,
      });
    });

    it('names every mistake in its options, and no password', () => {
      const wrong = { brokers: ['kafka://u:secret@host'], partitions: 0, sasl: { mechanism: 'magic' }, topics: 'a' };
      let message = '';
      try {
        kafka(wrong as never);
      } catch (error) {
        message = isEventsError(error, 'EVENTS_OPTIONS_INVALID') ? error.message : '';
      }
      for (const part of ['brokers[0]', 'partitions', 'sasl.mechanism', 'topics is not an option'])
        expect(message).toContain(part);
      expect(message).not.toContain('secret');
    });
  });
});

withBroker('kafka', 'KAFKA_SASL_BROKERS', (address) => {
  describe('connecting to Kafka with SASL', () => {
    const username = process.env['KAFKA_SASL_USERNAME'] ?? '';
    const password = process.env['KAFKA_SASL_PASSWORD'] ?? '';

    it('is refused at once with the wrong password, which nothing repeats', async () => {
      const world = new KafkaWorld(address.split(','));
      const sasl = { mechanism: 'plain', username, password: 'wrong-secret' } as const;
      const started = performance.now();
      const refused = await world.open({ sasl }).catch((error: unknown) => error);
      expect(isEventsError(refused, 'EVENTS_TRANSPORT_UNAUTHORIZED')).toBe(true);
      expect((refused as Error).message).not.toContain('wrong-secret');
      expect(performance.now() - started).toBeLessThan(10_000);
    });

    it('connects and publishes with the right one', async () => {
      const world = new KafkaWorld((process.env['KAFKA_BROKERS'] ?? '').split(','));
      try {
        const kafka = await world.open({
          brokers: address.split(','),
          sasl: { mechanism: 'plain', username, password },
        });
        await kafka.publish(`${world.domain}.order.placed`, {});
        expect(kafka.transport.isConnected()).toBe(true);
        expect(kafka.logger.lines.map(({ message }) => message).join('\n')).not.toContain(password);
      } finally {
        await world.close();
      }
    });
  });
});

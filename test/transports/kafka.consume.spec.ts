import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { envelopeOf } from '../../lib/core/delivery.js';
import { withBroker } from '../support/brokers.js';
import { eventually, Gate } from '../support/eventually.js';
import { KafkaWorld, LEFT_OPEN, numberOf } from './kafka.support.js';

withBroker('kafka', 'KAFKA_BROKERS', (address) => {
  describe('consuming from Kafka', () => {
    let world: KafkaWorld;
    beforeEach(() => {
      world = new KafkaWorld(address.split(','));
    });
    afterEach(() => world.close());

    it('commits exactly the end of the log once everything is settled', async () => {
      const kafka = await world.open();
      const topic = `${world.domain}.order`;
      const { envelopes, consumer } = await world.consume(kafka, [world.subscription('a', [`${topic}.*`])]);
      await kafka.publishMany(`${topic}.placed`, 1_000, (n) => ({ key: `${n % 50}` }));
      await eventually(() => envelopes.length === 1_000);
      await consumer.stop();
      await consumer.drain();
      expect(await world.committed(topic)).toEqual(await world.ends(topic));
    });

    it('commits nothing behind a record that is not settled, and delivers it again', async () => {
      const kafka = await world.open({ partitions: 1 });
      const topic = `${world.domain}.order`;
      const subscription = world.subscription('a', [`${topic}.*`], { concurrency: 50 });
      const first = await world.consume(kafka, [subscription], async (delivery) => {
        if (numberOf(envelopeOf(delivery)) !== 40) return undefined;
        delivery.release();
        return LEFT_OPEN;
      });
      await kafka.publishMany(`${topic}.placed`, 100, (n) => ({ key: `${n}` }));
      await eventually(() => first.envelopes.length === 100);
      await first.consumer.stop();
      await first.consumer.drain();
      const committed = (await world.committed(topic)).get(0);
      const records = await world.records(topic);
      expect(records.findIndex(({ value }) => String(value) === '{"n":40}')).toBe(committed);
      await first.consumer.close();
      const second = await world.consume(kafka, [subscription]);
      await eventually(() => second.envelopes.length === 100 - (committed ?? 0));
      expect(numberOf(second.envelopes[0])).toBe(40);
    });

    it('takes no more than the window while a handler is slow, and other partitions go on', async () => {
      const kafka = await world.open({ partitions: 2 }, { window: { maxDeliveries: 20, maxBytes: 1_000_000 } });
      const topic = `${world.domain}.order`;
      await kafka.publishMany(`${topic}.placed`, 400, (n) => ({ key: `${n % 20}` }));
      const [stuckAt] = [...new Set((await world.records(topic)).map((record) => record.partition))];
      const gate = new Gate();
      const running = { now: 0, most: 0 };
      const handed = await world.consume(
        kafka,
        [world.subscription('a', [`${topic}.*`], { concurrency: 500, ordering: 'none' })],
        async ({ raw }) => {
          if (raw.place.partition !== stuckAt) return;
          running.most = Math.max(running.most, ++running.now);
          await gate.passed;
          running.now--;
        },
      );
      const others = (): number => handed.deliveries.filter(({ raw }) => raw.place.partition !== stuckAt).length;
      const all = (await world.ends(topic)).get(stuckAt === 0 ? 1 : 0);
      await eventually(() => others() === all, { what: 'the other partition' });
      expect(running.most).toBe(20);
      gate.open();
      await eventually(() => handed.deliveries.length === 400);
      expect(running.most).toBe(20);
    });

    it('hands what cannot be decoded to every handler that could have meant it, with its bytes untouched', async () => {
      const kafka = await world.open();
      const topic = `${world.domain}.order`;
      const subscriptions = [
        world.subscription('orders', [`${topic}.placed`]),
        world.subscription('all', [`${world.domain}.#`]),
        world.subscription('others', [`${world.domain}.invoice.*`]),
      ];
      const { deliveries } = await world.consume(kafka, subscriptions);
      const value = Buffer.from([0x7b, 0xff, 0x00]);
      await world.publishRaw(topic, [{ key: Buffer.from([0xfe]), value, headers: { from: Buffer.from([0xff]) } }]);
      await eventually(() => deliveries.length === 2);
      expect(deliveries.map(({ subscription }) => subscription.handler).sort()).toEqual(['all', 'orders']);
      for (const { content, raw } of deliveries) {
        expect(content).toEqual({ undecodable: expect.objectContaining({ code: 'EVENTS_UNDECODABLE' }) as unknown });
        expect(raw.body).toEqual(value);
        expect(raw.key).toEqual(Buffer.from([0xfe]));
        expect(raw.headers['from']).toEqual(Buffer.from([0xff]));
      }
    });

    it('reads what other programs publish as CloudEvents: key without attribute, tombstone, repeated headers', async () => {
      const kafka = await world.open();
      const topic = `${world.domain}.order`;
      const { envelopes } = await world.consume(kafka, [world.subscription('a', [`${topic}.*`])]);
      const headers = { ce_id: '1', ce_source: 'python', ce_type: `${topic}.placed`, tag: ['a', Buffer.from([0xff])] };
      await world.publishRaw(topic, [{ key: 'user-7', value: null, headers }]);
      await eventually(() => envelopes.length === 1);
      expect(envelopes[0]).toMatchObject({ id: '1', source: 'python', key: 'user-7', data: null });
      expect(envelopes[0]?.headers).toEqual({ tag: ['a', Buffer.from([0xff])] });
    });

    it('settles what no handler matches and says so', async () => {
      const kafka = await world.open({ partitions: 1 });
      const topic = `${world.domain}.order`;
      const { unhandled, consumer } = await world.consume(kafka, [world.subscription('a', [`${topic}.placed`])]);
      await kafka.publish(`${topic}.paid`, {});
      await eventually(() => unhandled.length === 1);
      expect(unhandled).toEqual([`${topic}.paid`]);
      await consumer.stop();
      await consumer.drain();
      expect(await world.committed(topic)).toEqual(new Map([[0, 1]]));
    });

    it('starts at the end with fromBeginning: false, and finds later topics from their first record', async () => {
      const kafka = await world.open({ fromBeginning: false });
      const topic = `${world.domain}.order`;
      await kafka.publish(`${topic}.placed`, { n: 1 });
      const { envelopes } = await world.consume(kafka, [world.subscription('a', [`${world.domain}.#`])]);
      await kafka.publish(`${topic}.placed`, { n: 2 });
      await kafka.publish(`${world.domain}.invoice.sent`, { n: 3 });
      await eventually(() => envelopes.length === 2);
      expect(envelopes.map(numberOf).sort()).toEqual([2, 3]);
    });

    it('finds topics that appear later, but never dead letters', async () => {
      const kafka = await world.open();
      const { envelopes, deliveries } = await world.consume(kafka, [world.subscription('a', [`${world.domain}.#`])]);
      await world.createTopic(`${world.domain}.dlq`, 1);
      await world.publishRaw(`${world.domain}.dlq`, [{ value: 'not an event' }]);
      await kafka.publish(`${world.domain}.invoice.sent`, { n: 1 });
      await kafka.publish(`${world.domain}.order.placed`, { n: 2 });
      await eventually(() => envelopes.length === 2);
      await kafka.publish(`${world.domain}.order.placed`, { n: 3 });
      await eventually(() => envelopes.length === 3);
      expect(deliveries).toHaveLength(3);
    });

    it('a member that joins and leaves under load costs no event and runs none twice in one process', async () => {
      const topic = `${world.domain}.order`;
      const subscription = world.subscription('a', [`${topic}.*`], { concurrency: 20 });
      const [one, two] = [await world.open(), await world.open()];
      const running = new Set<string>();
      let overlaps = 0;
      const slowly = (instance: string) => async (delivery: { content: object }) => {
        const run = `${instance}:${envelopeOf(delivery as never)?.id}`;
        if (running.has(run)) overlaps++;
        running.add(run);
        await new Promise((resolve) => setTimeout(resolve, 5));
        running.delete(run);
      };
      const first = await world.consume(one, [subscription], slowly('one'));
      // For as long as it takes: a member that joins when everything is handled has nothing to leave behind.
      const load = new AbortController();
      let published = 0;
      const publishing = (async () => {
        for (; !load.signal.aborted; published += 100) {
          await one.publishMany(`${topic}.placed`, 100, (n) => ({ key: `${n}` }));
        }
      })();
      await eventually(() => first.envelopes.length > 100);
      const second = await world.consume(two, [subscription], slowly('two'));
      await eventually(() => second.envelopes.length > 100);
      await second.consumer.stop();
      await second.consumer.drain();
      await second.consumer.close();
      load.abort();
      await publishing;
      const handled = (): Set<string> => new Set([...first.envelopes, ...second.envelopes].map(({ id }) => id));
      await eventually(() => handled().size === published);
      expect(overlaps).toBe(0);
      const ofOne = first.envelopes.map(({ id }) => id);
      expect(new Set(ofOne).size).toBe(ofOne.length);
      await first.consumer.stop();
      await first.consumer.drain();
      expect(await world.committed(topic)).toEqual(await world.ends(topic));
    });

    it('a record in flight is neither run again nor lost when its consumer joins anew', async () => {
      const topic = `${world.domain}.order`;
      const kafka = await world.open({ partitions: 1 });
      const gate = new Gate();
      const subscription = world.subscription('a', [`${world.domain}.#`]);
      const { envelopes, deliveries } = await world.consume(kafka, [subscription], () => gate.passed);
      await kafka.publish(`${topic}.placed`, { n: 1 }, { key: 'k' });
      await eventually(() => envelopes.length === 1);
      // A topic more makes it leave and come back as another member.
      await kafka.publish(`${world.domain}.invoice.sent`, { n: 2 }, { key: 'k2' });
      await eventually(() => envelopes.length === 2);
      await kafka.publish(`${topic}.placed`, { n: 3 }, { key: 'k3' });
      await eventually(() => envelopes.length === 3);
      expect(envelopes.map(numberOf)).toEqual([1, 2, 3]);
      expect(deliveries.map(({ lost }) => lost.aborted)).toEqual([false, false, false]);
      gate.open();
      await eventually(async () => (await world.committed(topic)).get(0) === 2);
    });

    it.each([
      ['', {}],
      [', also when it ran in a batch', { batch: { size: 3, waitMs: 20 } }],
    ])('a record whose partition left and came back waits for its earlier run to end%s', async (_, batch) => {
      const topic = `${world.domain}.order`;
      const subscription = world.subscription('a', [`${topic}.*`], { concurrency: 50, ordering: 'none', ...batch });
      const [one, two] = [await world.open({ partitions: 2 }), await world.open()];
      const gate = new Gate();
      const running = new Map<string, number>();
      let overlaps = 0;
      const first = await world.consume(one, [subscription], async (delivery) => {
        const { partition, position } = delivery.raw.place;
        const record = `${partition}:${position}`;
        if ((running.get(record) ?? 0) > 0) overlaps++;
        running.set(record, (running.get(record) ?? 0) + 1);
        await gate.passed;
        running.set(record, (running.get(record) ?? 0) - 1);
        if (!delivery.lost.aborted) return undefined;
        delivery.release();
        return LEFT_OPEN;
      });
      await one.publishMany(`${topic}.placed`, 8, (n) => ({ key: `${n}` }));
      await eventually(() => first.deliveries.length === 8);
      const second = await world.consume(two, [subscription], async (delivery) => {
        delivery.release();
        return LEFT_OPEN;
      });
      const lost = (): number => first.deliveries.filter((each) => each.lost.aborted).length;
      await eventually(() => lost() > 0, { what: 'a partition lost' });
      await second.consumer.close();
      // These are free to run, and tell that the lost partition has come back.
      await one.publishMany(`${topic}.placed`, 8, (n) => ({ key: `${n}` }));
      await eventually(() => first.deliveries.length === 16);
      expect(lost()).toBeLessThan(8);
      gate.open();
      await eventually(() => first.deliveries.length === 16 + lost());
      expect(overlaps).toBe(0);
      await eventually(async () => {
        expect(await world.committed(topic)).toEqual(await world.ends(topic));
        return true;
      });
    });

    it('goes on when a topic of its own is deleted and made again', async () => {
      const kafka = await world.open({ partitions: 1 });
      const topic = `${world.domain}.order`;
      const { envelopes } = await world.consume(kafka, [world.subscription('a', [`${topic}.*`])]);
      await kafka.publishMany(`${topic}.placed`, 5);
      await eventually(() => envelopes.length === 5);
      await world.admin((admin) => admin.deleteTopics({ topics: [topic] }));
      await kafka.publish(`${topic}.placed`, { n: 5 });
      await eventually(() => envelopes.some((envelope) => numberOf(envelope) === 5), { deadlineMs: 40_000 });
      expect(envelopes).toHaveLength(6);
    });
  });

  describe('dead letters on Kafka', () => {
    let world: KafkaWorld;
    beforeEach(() => {
      world = new KafkaWorld(address.split(','));
    });
    afterEach(() => world.close());

    it('come back as they were, also near the size limit, oldest first and only those of the handler', async () => {
      const kafka = await world.open({ compression: 'none' });
      const topic = `${world.domain}.order`;
      const group = world.group;
      expect(await kafka.transport.readDeadLetters({ group, handler: 'a' })).toEqual([]);
      const bytes = new Uint8Array([0, 255]);
      const { deliveries } = await world.consume(kafka, [world.subscription('a', [`${topic}.*`])]);
      await kafka.publish(`${topic}.placed`, 'x'.repeat(990_000), { key: 'ü', headers: { bytes, text: 't' } });
      await eventually(() => deliveries.length === 1);
      const original = deliveries[0]?.raw;
      if (original === undefined) throw new Error('nothing was delivered');
      const letter = (handler: string, n: number): Parameters<typeof kafka.transport.writeDeadLetter>[0] => ({
        id: `${handler}-${n}`,
        reason: 'failed',
        group,
        handler,
        original,
        event: `${topic}.placed`,
        error: { class: 'TypeError', code: 'TypeError', message: `ü ${n}`, stack: 's'.repeat(8_000) },
        attempts: 4,
        firstFailureAt: '2026-01-01T00:00:00.000Z',
        lastFailureAt: '2026-01-01T00:00:01.000Z',
      });
      for (const [n, handler] of ['a', 'b', 'a'].entries()) await kafka.transport.writeDeadLetter(letter(handler, n));
      const read = await kafka.transport.readDeadLetters({ group, handler: 'a' });
      expect(read.map(({ error }) => error.message)).toEqual(['ü 0', 'ü 2']);
      const { place, body, headers, key } = original;
      expect(read[0]).toEqual({ ...letter('a', 0), original: { place, body, headers: { ...headers }, key } });
      expect(await kafka.transport.readDeadLetters({ group, handler: 'a', limit: 1 })).toHaveLength(1);
      const groups = await world.admin((admin) => admin.listGroups());
      expect(groups.groups.filter(({ groupId }) => groupId.startsWith(`${group}.dlq`))).toEqual([]);
    });
  });
});

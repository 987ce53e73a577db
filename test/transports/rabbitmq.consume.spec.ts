import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { connect } from 'amqplib';
import { envelopeOf, type Delivery } from '../../lib/core/delivery.js';
import { event, LEFT_OPEN, RabbitmqWorld, until } from './rabbitmq.support.js';

const numbers = (envelopes: readonly { data: unknown }[]): number[] =>
  envelopes.map(({ data }) => (data as { n: number }).n);

describe('consuming from RabbitMQ', () => {
  let world: RabbitmqWorld;
  beforeEach(() => {
    world = new RabbitmqWorld();
  });
  afterEach(() => world.close());

  it('hands over what was published, with its key, headers and time', async () => {
    const transport = await world.connected();
    const { handled, deliveries } = await world.consume(transport, [world.subscription('a')]);
    const bytes = new Uint8Array([0, 255, 128]);
    const sent = event({ n: 1 }, { key: 'ü 🗝', headers: { text: 'ß', bytes, list: ['a', bytes] }, subject: 's' });
    await transport.publish(sent);
    await until(() => handled.length === 1);
    const headers = { text: 'ß', bytes: Buffer.from(bytes), list: ['a', Buffer.from(bytes)] };
    expect(handled[0]).toEqual({ ...sent, headers });
    expect(deliveries[0]?.redelivered).toBe(false);
    expect(deliveries[0]?.raw.place).toEqual({
      transport: 'rabbitmq',
      address: `${world.exchange}/orders.order.placed`,
      position: sent.id,
    });
  });

  it('empties the queue of a former id, and lets the new one have what is published from then on', async () => {
    const transport = await world.connected();
    const before = await world.consume(transport, [world.subscription('old')]);
    await before.consumer.stop();
    await before.consumer.close();
    await Promise.all([1, 2, 3].map((n) => transport.publish(event({ n }))));
    const renamed = world.subscription('new', { aliases: ['old', 'never-was'] });
    const { handled } = await world.consume(transport, [renamed]);
    await transport.publish(event({ n: 4 }));
    await until(() => handled.length === 4);
    expect(numbers(handled).toSorted()).toEqual([1, 2, 3, 4]);
    await until(async () => (await world.depth(world.queue('old'))) === 0);
  });

  it('acknowledges what is handled while one parked delivery holds no more than its own place', async () => {
    const transport = await world.connected({ prefetch: 10 });
    const parked = new Set<Delivery>();
    const { handled, consumer } = await world.consume(transport, [world.subscription('a')], async (delivery, slot) => {
      if (envelopeOf(delivery)?.key !== 'parked') return;
      parked.add(delivery);
      await slot.park(60_000);
      return LEFT_OPEN;
    });
    await transport.publish(event({ n: -1 }, { key: 'parked' }));
    await Promise.all(Array.from({ length: 300 }, (_, n) => transport.publish(event({ n }, { key: `key ${n % 7}` }))));
    await until(() => handled.length === 301);
    await consumer.stop();
    for (const delivery of parked) delivery.release();
    await consumer.drain();
    await consumer.close();
    await until(async () => (await world.depth(world.queue('a'))) === 1);
    const again = await world.consume(transport, [world.subscription('a')]);
    await until(() => again.handled.length > 0);
    expect(numbers(again.handled)).toEqual([-1]);
    expect(again.deliveries[0]?.redelivered).toBe(true);
  });

  it('delivers again what was not acknowledged when the connection is cut, in order, and uses no old delivery tag', async () => {
    const proxy = await world.proxy();
    const publisher = await world.connected();
    const transport = await world.connected({ url: world.through(proxy) });
    const held: Delivery[] = [];
    const open = (): void => held.splice(0).forEach((delivery) => delivery.acknowledge());
    let holding = true;
    const { handled } = await world.consume(transport, [world.subscription('a')], async (delivery) => {
      if (holding) held.push(delivery);
      else delivery.acknowledge();
      return LEFT_OPEN;
    });
    for (let n = 0; n < 5; n++) await publisher.publish(event({ n }, { key: `${n}` }));
    await until(() => held.length === 5);
    holding = false;
    proxy.cut();
    await until(() => held.every(({ lost }) => lost.aborted));
    await until(() => handled.length === 10);
    open();
    expect(numbers(handled.slice(5))).toEqual([0, 1, 2, 3, 4]);
    // An acknowledgement with a tag of the channel before would have closed this one, and brought everything again.
    for (let n = 5; n < 20; n++) await publisher.publish(event({ n }, { key: `${n}` }));
    await until(() => handled.length === 25);
    expect(numbers(handled.slice(10))).toEqual(Array.from({ length: 15 }, (_, n) => n + 5));
    expect(world.log.join('\n')).not.toContain('PRECONDITION');
  });

  it('loses nothing and keeps the order of each key when publishing and consuming are cut again and again', async () => {
    const proxy = await world.proxy();
    const transport = await world.connected({ url: world.through(proxy) });
    const { handled } = await world.consume(transport, [world.subscription('a', { concurrency: 20 })]);
    const total = 3_000;
    const publishes: Promise<void>[] = [];
    for (let n = 0; n < total; n++) {
      publishes.push(transport.publish(event({ n }, { key: `${n % 20}` })));
      if (n % 700 === 350) {
        await until(() => handled.length > n / 4);
        proxy.cut();
      }
    }
    await Promise.all(publishes);
    const firsts = (): number[] => [...new Set(numbers(handled))];
    await until(
      () => firsts().length === total,
      () => firsts().length,
    );
    for (let key = 0; key < 20; key++) {
      const ofKey = firsts().filter((n) => n % 20 === key);
      expect(ofKey).toEqual([...ofKey].sort((x, y) => x - y));
    }
  });

  it('runs a redelivered event only after the lost run of the same key has ended', async () => {
    const proxy = await world.proxy();
    const publisher = await world.connected();
    const transport = await world.connected({ url: world.through(proxy) });
    let running = 0;
    let most = 0;
    let finish = (): void => undefined;
    const { handled } = await world.consume(transport, [world.subscription('a')], async () => {
      most = Math.max(most, ++running);
      if (handled.length === 1) await new Promise<void>((resolve) => (finish = resolve));
      running--;
    });
    await Promise.all([1, 2, 3].map((n) => publisher.publish(event({ n }, { key: 'k' }))));
    await until(() => handled.length === 1);
    proxy.cut();
    await until(() => transport.isConnected() && proxy.accepted > 3);
    finish();
    await until(() => handled.length === 4);
    expect(numbers(handled)).toEqual([1, 1, 2, 3]);
    expect(most).toBe(1);
  });

  it('subscribes again, and declares the queue again, when the queue is deleted', async () => {
    const transport = await world.connected();
    const { handled } = await world.consume(transport, [world.subscription('a'), world.subscription('b')]);
    await (await world.admin()).deleteQueue(world.queue('a'));
    await until(() => world.log.some((line) => line.includes('subscribing again')));
    await until(async () => {
      await transport.publish(event());
      return handled.length >= 3;
    });
    expect((await (await world.admin()).checkQueue(world.queue('a'))).consumerCount).toBe(1);
  });

  it('keeps a queue that turned into another one to itself, and heals once it is gone', async () => {
    const transport = await world.connected();
    const open: Delivery[] = [];
    const { handled } = await world.consume(
      transport,
      [world.subscription('a', { patterns: ['orders.order.#'] }), world.subscription('b', { patterns: ['mails.#'] })],
      async (delivery) => (delivery.subscription.handler === 'a' ? (open.push(delivery), LEFT_OPEN) : undefined),
    );
    await transport.publish(event());
    await until(() => open.length === 1);
    // The reader comes back at once: whoever is first declares the queue.
    await until(async () => {
      const model = await connect(RabbitmqWorld.url());
      const channel = await model.createChannel();
      channel.on('error', () => undefined);
      await channel.deleteQueue(world.queue('a'));
      const won = await channel.assertQueue(world.queue('a'), { durable: true }).then(Boolean, () => false);
      await model.close();
      return won;
    });
    // The refusal closes the channel, and the deliveries that came on it with it.
    await until(() => open[0]?.lost.aborted === true);
    await until(() => world.log.some((line) => line.includes('exists with other properties')));
    open[0]?.acknowledge();
    await transport.publish(event({}, { name: 'mails.mail.sent' }));
    await until(() => handled.some(({ name }) => name === 'mails.mail.sent'));
    await (await world.admin()).deleteQueue(world.queue('a'));
    await until(async () => {
      await transport.publish(event());
      return open.length > 1;
    });
  });

  it('settles what an old binding brings and no pattern wants', async () => {
    const transport = await world.connected();
    const before = await world.consume(transport, [world.subscription('a', { patterns: ['orders.#', 'mails.#'] })]);
    await before.consumer.close();
    const { handled, unhandled, consumer } = await world.consume(transport, [world.subscription('a')]);
    await transport.publish(event({}, { name: 'mails.mail.sent' }));
    await transport.publish(event());
    await until(() => handled.length === 1);
    expect(unhandled).toEqual(['mails.mail.sent']);
    await consumer.close();
    expect(await world.depth(world.queue('a'))).toBe(0);
  });

  it('gives back what has not started at stop, and acknowledges what runs before it is drained', async () => {
    const transport = await world.connected();
    const finish: (() => void)[] = [];
    const { handled, consumer } = await world.consume(transport, [world.subscription('a', { concurrency: 2 })], () => {
      return new Promise<void>((resolve) => finish.push(resolve));
    });
    await Promise.all(Array.from({ length: 20 }, (_, n) => transport.publish(event({ n }))));
    await until(() => handled.length === 2);
    await consumer.stop();
    const drained = consumer.drain();
    finish.forEach((each) => each());
    await drained;
    await consumer.close();
    expect(handled).toHaveLength(2);
    await until(async () => (await world.depth(world.queue('a'))) === 18);
    expect(world.activities.map(({ type }) => type)).toEqual([
      'transport-connected',
      'consumer-started',
      'consumer-stopped',
    ]);
  });

  it.each([false, true])(
    'keeps the order over a restart (single active consumer: %s)',
    async (singleActiveConsumer) => {
      const transport = await world.connected({ singleActiveConsumer });
      const order: number[] = [];
      const handle = async ({ content }: Delivery): Promise<void> => {
        if ('envelope' in content) order.push(...numbers([content.envelope]));
        await new Promise((resolve) => setTimeout(resolve, 2));
      };
      await transport.declare([world.subscription('a')]);
      await Promise.all(Array.from({ length: 100 }, (_, n) => transport.publish(event({ n }, { key: 'one' }))));
      for (let restart = 0; restart < 8; restart++) {
        const { consumer, handled } = await world.consume(transport, [world.subscription('a')], handle);
        await until(() => handled.length >= 4);
        await consumer.stop();
        await consumer.drain();
        await consumer.close();
      }
      await world.consume(transport, [world.subscription('a')], handle);
      await until(() => order.length >= 100);
      expect(order).toEqual(Array.from({ length: 100 }, (_, n) => n));
    },
  );

  it('keeps the order of each key within an instance, and shares the work between instances', async () => {
    const [first, second] = [await world.connected(), await world.connected()];
    const consuming = [
      await world.consume(first, [world.subscription('a')]),
      await world.consume(second, [world.subscription('a')]),
    ];
    await Promise.all(Array.from({ length: 400 }, (_, n) => first.publish(event({ n }, { key: `${n % 5}` }))));
    const total = (): number => consuming.reduce((sum, { handled }) => sum + handled.length, 0);
    await until(() => total() === 400);
    for (const { handled } of consuming) {
      expect(handled.length).toBeGreaterThan(0);
      for (const key of ['0', '1', '2', '3', '4']) {
        const ofKey = numbers(handled.filter((each) => each.key === key));
        expect(ofKey).toEqual([...ofKey].sort((x, y) => x - y));
      }
    }
  });
});

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { ConsumeMessage } from 'amqplib';
import { event, RabbitmqWorld, until } from './rabbitmq.support.js';

describe('publishing to RabbitMQ', () => {
  let world: RabbitmqWorld;
  beforeEach(() => {
    world = new RabbitmqWorld();
  });
  afterEach(() => world.close());

  /** A queue that keeps everything, read by amqplib alone. */
  async function recorded(): Promise<ConsumeMessage[]> {
    const channel = await world.admin();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    await channel.bindQueue(queue, world.exchange, '#');
    const messages: ConsumeMessage[] = [];
    await channel.consume(queue, (message) => message !== null && messages.push(message), { noAck: true });
    return messages;
  }

  it('writes CloudEvents attributes, properties, and headers of text, bytes and lists', async () => {
    const transport = await world.connected();
    const messages = await recorded();
    const bytes = new Uint8Array([0, 255, 128]);
    const headers = { tenant: 'ü', bytes, list: ['a', bytes] };
    const published = event({ total: 1 }, { key: '🗝', headers, correlationId: 'story' });
    await transport.publish(published);
    await until(() => messages.length === 1);
    const [message] = messages;
    expect(message?.fields.routingKey).toBe('orders.order.placed');
    expect(message?.content.toString()).toBe('{"total":1}');
    expect(message?.properties).toMatchObject({
      contentType: 'application/json',
      deliveryMode: 2,
      messageId: published.id,
      type: published.name,
      appId: 'test',
      timestamp: Math.floor(Date.parse(published.time) / 1_000),
      headers: {
        cloudEvents_specversion: '1.0',
        cloudEvents_id: published.id,
        cloudEvents_type: published.name,
        cloudEvents_time: published.time,
        cloudEvents_partitionkey: '🗝',
        cloudEvents_correlationid: 'story',
        tenant: 'ü',
        bytes: Buffer.from(bytes),
        list: ['a', Buffer.from(bytes)],
      },
    });
  });

  it('confirms an event that no queue takes, warns once for its name and reports each', async () => {
    const transport = await world.connected();
    const [first, second, other] = [event(), event(), event({}, { name: 'orders.order.shipped' })];
    await Promise.all([first, second, other].map((each) => transport.publish(each)));
    const reported = world.activities.filter(({ type }) => type === 'unroutable');
    expect(reported).toEqual(
      [first, second, other].map(({ id, name }) => ({ type: 'unroutable', event: name, id, transport: 'rabbitmq' })),
    );
    expect(world.log.filter((line) => line.includes('no queue is bound'))).toHaveLength(2);
  });

  it('refuses a payload over the limit, and headers that AMQP cannot carry, before anything is sent', async () => {
    const transport = await world.connected({}, { maxPayloadBytes: 100 });
    const messages = await recorded();
    await expect(transport.publish(event('x'.repeat(100)))).rejects.toMatchObject({
      code: 'EVENTS_PAYLOAD_TOO_LARGE',
      event: 'orders.order.placed',
    });
    await expect(transport.publish(event(1, { headers: { big: 'x'.repeat(70_000) } }))).rejects.toMatchObject({
      code: 'EVENTS_PAYLOAD_TOO_LARGE',
    });
    await transport.publish(event('x'));
    await until(() => messages.length > 0);
    expect(messages.map(({ content }) => content.toString())).toEqual(['"x"']);
  });

  it('loses nothing and keeps the order of each key when the connection is cut under load', async () => {
    const proxy = await world.proxy();
    const transport = await world.connected({ url: world.through(proxy) });
    const messages = await recorded();
    const keys = ['a', 'b', 'c'];
    const total = 6_000;
    const publishes: Promise<void>[] = [];
    for (let n = 0; n < total; n++) {
      publishes.push(transport.publish(event({ n }, { key: keys[n % 3] as string })));
      if (n % 1_500 === 750) proxy.cut();
      if (n % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(publishes);
    expect(proxy.accepted).toBeGreaterThan(2);

    const order = new Map<string, number[]>(keys.map((key) => [key, []]));
    const arrived = (): Set<number> => {
      for (const list of order.values()) list.length = 0;
      const seen = new Set<number>();
      for (const { content, properties } of messages) {
        const { n } = JSON.parse(content.toString()) as { n: number };
        if (!seen.has(n)) order.get(String(properties.headers?.['cloudEvents_partitionkey']))?.push(n);
        seen.add(n);
      }
      return seen;
    };
    await until(
      () => arrived().size === total,
      () => arrived().size,
    );
    for (const list of order.values()) expect(list).toEqual([...list].sort((x, y) => x - y));
  }, 60_000);

  it('waits while the broker is away, then goes on', async () => {
    const proxy = await world.proxy();
    const transport = await world.connected({ url: world.through(proxy) });
    const messages = await recorded();
    proxy.refuse();
    proxy.cut();
    await until(() => !transport.isConnected());
    const publishing = Promise.all([1, 2, 3].map((n) => transport.publish(event({ n }))));
    expect(await Promise.race([publishing, new Promise((resolve) => setTimeout(resolve, 300, 'waiting'))])).toBe(
      'waiting',
    );
    proxy.accept();
    await publishing;
    await until(() => messages.length === 3);
    expect(messages.map(({ content }) => content.toString())).toEqual(['{"n":1}', '{"n":2}', '{"n":3}']);
    expect(world.activities.map(({ type }) => type)).toEqual([
      'transport-connected',
      'transport-disconnected',
      'transport-connected',
    ]);
  });

  it('gives up a publish at its deadline and says why', async () => {
    const proxy = await world.proxy();
    const transport = await world.connected({ url: world.through(proxy) }, { publishTimeoutMs: 500 });
    proxy.stall();
    await expect(transport.publish(event())).rejects.toMatchObject({
      code: 'EVENTS_PUBLISH_TIMEOUT',
      event: 'orders.order.placed',
      message: expect.stringContaining('the confirmation is missing') as unknown,
    });
    proxy.refuse();
    proxy.cut();
    await until(() => !transport.isConnected());
    await expect(transport.publish(event())).rejects.toMatchObject({
      code: 'EVENTS_PUBLISH_TIMEOUT',
      message: expect.stringContaining('there is no connection') as unknown,
    });
  });

  it('sends again on a new channel when the exchange was deleted under it', async () => {
    const transport = await world.connected();
    await (await world.admin()).deleteExchange(world.exchange);
    await Promise.all([1, 2, 3].map((n) => transport.publish(event({ n }))));
    expect(transport.isConnected()).toBe(true);
  });

  it('offers a refused event again until there is room, and fails with its code when there never is', async () => {
    const transport = await world.connected({}, { publishTimeoutMs: 1_500 });
    const channel = await world.admin();
    const full = { exclusive: true, arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' } };
    const { queue } = await channel.assertQueue('', full);
    await channel.bindQueue(queue, world.exchange, 'orders.#');
    await transport.publish(event({ n: 1 }));
    await expect(transport.publish(event({ n: 2 }))).rejects.toMatchObject({
      code: 'EVENTS_PUBLISH_FAILED',
      message: expect.stringContaining('nack') as unknown,
    });
    const publishing = transport.publish(event({ n: 3 }));
    await channel.get(queue, { noAck: true });
    await publishing;
    const kept = await channel.get(queue, { noAck: true });
    expect(kept === false ? '' : kept.content.toString()).toBe('{"n":3}');
  });

  it('waits at close for what is under way, and refuses what comes later', async () => {
    const transport = await world.connected();
    const messages = await recorded();
    const publishing = Array.from({ length: 500 }, (_, n) => transport.publish(event({ n })));
    await transport.close();
    await Promise.all(publishing);
    await until(() => messages.length === 500);
    await expect(transport.publish(event())).rejects.toMatchObject({ code: 'EVENTS_TRANSPORT_CLOSED' });
  });
});

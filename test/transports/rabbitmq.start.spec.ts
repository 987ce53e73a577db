import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { isEventsError } from '../../lib/core/errors.js';
import { event, RabbitmqWorld, until } from './rabbitmq.support.js';

describe('starting on RabbitMQ', () => {
  let world: RabbitmqWorld;
  beforeEach(() => {
    world = new RabbitmqWorld();
  });
  afterEach(() => world.close());

  async function failure(work: Promise<unknown>): Promise<Error & { code?: string }> {
    const error = await work.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (!isEventsError(error)) throw new Error('an EventsError was expected', { cause: error });
    return error;
  }

  it('tries for as long as it is told while the broker is away, and names the address without the password', async () => {
    const proxy = await world.proxy();
    proxy.refuse();
    const transport = world.create({ url: `amqp://ann:s3cret@127.0.0.1:${proxy.port}`, connectTimeoutMs: 600 });
    const startedAt = Date.now();
    const error = await failure(transport.connect());
    expect(Date.now() - startedAt).toBeGreaterThan(100);
    expect(error.code).toBe('EVENTS_TRANSPORT_UNREACHABLE');
    expect(error.message).toContain(`127.0.0.1:${proxy.port}`);
    expect(error.message).not.toContain('s3cret');
    expect(transport.isConnected()).toBe(false);
  });

  it('connects when the broker comes in time', async () => {
    const proxy = await world.proxy();
    proxy.refuse();
    const transport = world.create({ url: world.through(proxy) });
    const connecting = transport.connect();
    await until(() => world.log.some((line) => line.includes('no connection to')));
    proxy.accept();
    await connecting;
    await transport.publish(event());
  });

  it('can be tried again after it failed', async () => {
    const proxy = await world.proxy();
    proxy.refuse();
    const transport = world.create({ url: world.through(proxy), connectTimeoutMs: 300 });
    expect((await failure(transport.connect())).code).toBe('EVENTS_TRANSPORT_UNREACHABLE');
    proxy.accept();
    await transport.connect();
    await transport.publish(event());
  });

  it('takes the next url when one does not answer, also later', async () => {
    const [dead, alive] = [await world.proxy(), await world.proxy()];
    dead.refuse();
    const transport = await world.connected({ urls: [world.through(dead), world.through(alive)] });
    expect(alive.accepted).toBe(1);
    dead.accept();
    alive.refuse();
    alive.cut();
    await transport.publish(event());
    expect(dead.accepted).toBe(1);
  });

  it('fails at once on a wrong password', async () => {
    const url = new URL(RabbitmqWorld.url());
    url.password = 'wrong-s3cret';
    const startedAt = Date.now();
    const error = await failure(world.create({ url: url.href }).connect());
    expect(Date.now() - startedAt).toBeLessThan(5_000);
    expect(error.code).toBe('EVENTS_TRANSPORT_UNAUTHORIZED');
    expect(error.message).toContain('ACCESS_REFUSED');
    expect(error.message).not.toContain('s3cret');
  });

  it('names a virtual host that is refused', async () => {
    const url = new URL(RabbitmqWorld.url());
    url.pathname = '/no-such-vhost';
    const error = await failure(world.create({ url: url.href, connectTimeoutMs: 500 }).connect());
    expect(error.code).toBe('EVENTS_TRANSPORT_UNAUTHORIZED');
    expect(error.message).toContain('virtual host');
  });

  it('declares quorum queues with their final arguments, and a second time the same', async () => {
    const transport = await world.connected();
    world.deletes(world.queue('a'));
    await transport.declare([world.subscription('a')]);
    await transport.declare([world.subscription('a')]);
    const channel = await world.admin();
    await channel.assertQueue(world.queue('a'), {
      arguments: {
        'x-queue-type': 'quorum',
        'x-dead-letter-exchange': `${world.exchange}.dlx`,
        'x-dead-letter-routing-key': world.queue('a'),
        'x-dead-letter-strategy': 'at-least-once',
        'x-overflow': 'reject-publish',
        'x-message-ttl': 604_800_000,
        'x-delivery-limit': 20,
      },
    });
    // What is published before anybody consumes waits.
    await transport.publish(event({ n: 1 }));
    const { handled } = await world.consume(transport, [world.subscription('a')]);
    await until(() => handled.length === 1);
  });

  it('names the queue that exists with other arguments, the difference and the remedy; the others are declared', async () => {
    const transport = await world.connected();
    const channel = await world.admin();
    await channel.assertQueue(world.queue('b'), { durable: true });
    for (const handler of ['a', 'b', 'c']) world.deletes(world.queue(handler));
    const subscriptions = ['a', 'b', 'c'].map((handler) => world.subscription(handler));
    for (const start of [() => transport.declare(subscriptions), () => world.consume(transport, subscriptions)]) {
      const error = await failure(start());
      expect(error.code).toBe('EVENTS_TOPOLOGY_CONFLICT');
      expect(error.message).toContain(world.queue('b'));
      expect(error.message).toContain("inequivalent arg 'x-");
      expect(error.message).toContain('delete it once it is empty');
    }
    // Nothing of the failed start goes on consuming.
    await until(async () => (await channel.checkQueue(world.queue('a'))).consumerCount === 0);
    expect((await channel.checkQueue(world.queue('c'))).consumerCount).toBe(0);
    await transport.publish(event());
    await until(async () => (await world.depth(world.queue('a'))) === 1);
  });

  it('gives the queue of a handler its own options', async () => {
    const transport = await world.connected();
    const block = { rabbitmq: { singleActiveConsumer: true, prefetch: 1, deliveryLimit: 3, queueTtlMs: 60_000 } };
    await world.consume(transport, [world.subscription('a', { transportOptions: block })]);
    const wrong = world.subscription('b', { transportOptions: { rabbitmq: { prefetch: 0, prefech: 1 } } });
    const error = await failure(world.consume(transport, [wrong]));
    expect(error.code).toBe('EVENTS_OPTIONS_INVALID');
    expect(error.message).toContain('rabbitmq.prefetch must be');
    expect(error.message).toContain('rabbitmq.prefech is not an option');
    expect(error.message).toContain('handler "b"');
    const other = await failure(transport.declare([world.subscription('a')]));
    expect(other.message).toContain('inequivalent arg');
  });

  it('refuses a queue name that AMQP cannot carry', async () => {
    const transport = await world.connected();
    const error = await failure(transport.declare([world.subscription('x'.repeat(240))]));
    expect(error.code).toBe('EVENTS_HANDLER_INVALID');
    expect(error.message).toContain('255');
  });

  it('opens and closes ten times at once without leaving anything behind', async () => {
    await Promise.all(
      Array.from({ length: 10 }, async () => {
        const transport = await world.connected();
        const { consumer } = await world.consume(transport, [world.subscription('a')]);
        await consumer.close();
        await transport.close();
      }),
    );
    expect((await (await world.admin()).checkQueue(world.queue('a'))).consumerCount).toBe(0);
  });
});

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { DeadLetter } from '../../lib/core/dead-letter.js';
import type { Delivery } from '../../lib/core/delivery.js';
import { LEFT_OPEN, event, RabbitmqWorld, until } from './rabbitmq.support.js';

describe('dead letters on RabbitMQ', () => {
  let world: RabbitmqWorld;
  beforeEach(() => {
    world = new RabbitmqWorld();
  });
  afterEach(() => world.close());

  const letterOf = ({ raw }: Delivery, overrides: Partial<DeadLetter> = {}): DeadLetter => ({
    group: world.group,
    handler: 'a',
    original: raw,
    error: { code: 'E_BAD', message: 'bad', stack: 'Error: bad\n  at' },
    attempts: 4,
    firstFailureAt: '2026-01-01T00:00:00.000Z',
    lastFailureAt: '2026-01-01T00:00:01.000Z',
    ...overrides,
  });

  /** Consumes with a handler that keeps its deliveries, and publishes bytes straight to the exchange. */
  async function received(
    body: Buffer,
    options: Parameters<Awaited<ReturnType<RabbitmqWorld['admin']>>['publish']>[3],
  ): Promise<{ transport: Awaited<ReturnType<RabbitmqWorld['connected']>>; delivery: Delivery }> {
    const transport = await world.connected();
    const { deliveries } = await world.consume(transport, [world.subscription('a')], async () => LEFT_OPEN);
    (await world.admin()).publish(world.exchange, 'orders.order.placed', body, options);
    await until(() => deliveries.length === 1);
    return { transport, delivery: deliveries[0] as Delivery };
  }

  it('keeps exact bytes, binary headers and properties of what cannot be decoded', async () => {
    const body = Buffer.from([0, 159, 146, 150, 255]);
    const { transport, delivery } = await received(body, {
      contentType: 'application/x-own',
      contentEncoding: 'own',
      correlationId: 'c-1',
      messageId: 'm-1',
      type: 'own.type',
      timestamp: 1_700_000_000,
      headers: { bytes: Buffer.from([1, 0, 255]), text: 'ü', number: 7, list: ['a', Buffer.from([9])] },
    });
    expect(delivery.content).toMatchObject({ undecodable: { code: 'EVENTS_UNDECODABLE' } });
    const letter = letterOf(delivery);
    await transport.writeDeadLetter(letter);
    const [read] = await transport.readDeadLetters({ group: world.group, handler: 'a' });
    expect(read).toEqual(letter);
    expect(read?.original.headers).toMatchObject({
      'content-type': 'application/x-own',
      bytes: Buffer.from([1, 0, 255]),
      number: '7',
      list: ['a', Buffer.from([9])],
    });
    // On the wire the properties are where they were.
    const message = await (await world.admin()).get(`${world.queue('a')}.dlq`, { noAck: true });
    if (message === false) throw new Error('the queue is empty');
    expect(message.properties).toMatchObject({
      contentType: 'application/x-own',
      contentEncoding: 'own',
      correlationId: 'c-1',
      messageId: 'm-1',
      type: 'own.type',
      timestamp: 1_700_000_000,
      deliveryMode: 2,
    });
    expect(message.content).toEqual(body);
  });

  it('reads many, oldest first, up to a limit, as often as asked, also at the same time', async () => {
    const { transport, delivery } = await received(Buffer.from('{}'), {});
    for (let n = 0; n < 30; n++) await transport.writeDeadLetter(letterOf(delivery, { attempts: n }));
    const query = { group: world.group, handler: 'a' };
    // More often than the default delivery limit of RabbitMQ 4 allows.
    for (let round = 0; round < 25; round++) {
      const [some, all] = await Promise.all([
        transport.readDeadLetters({ ...query, limit: 10 }),
        transport.readDeadLetters(query),
      ]);
      expect(some.map(({ attempts }) => attempts)).toEqual(Array.from({ length: 10 }, (_, n) => n));
      expect(all.map(({ attempts }) => attempts)).toEqual(Array.from({ length: 30 }, (_, n) => n));
    }
    expect(await transport.readDeadLetters({ ...query, handler: 'nobody' })).toEqual([]);
  }, 60_000);

  it('gives what the broker itself parked its reason', async () => {
    const transport = await world.connected({ queueTtlMs: 100 });
    world.deletes(world.queue('a'));
    await transport.declare([world.subscription('a')]);
    const sent = event({ n: 1 }, { key: 'k' });
    await transport.publish(sent);
    let letters: DeadLetter[] = [];
    await until(async () => {
      letters = await transport.readDeadLetters({ group: world.group, handler: 'a' });
      return letters.length > 0;
    });
    expect(letters).toHaveLength(1);
    expect(letters[0]).toMatchObject({
      event: sent.name,
      id: sent.id,
      error: { code: 'expired' },
      original: { place: { address: `${world.exchange}/${sent.name}` }, body: Buffer.from('{"n":1}') },
    });
    expect(Math.abs(Date.parse(letters[0]?.firstFailureAt ?? '') - Date.now())).toBeLessThan(30_000);
  });

  it('parks what is given back too often', async () => {
    const transport = await world.connected({ deliveryLimit: 2 });
    await world.consume(transport, [world.subscription('a')], async (delivery) => {
      delivery.release();
      return LEFT_OPEN;
    });
    await transport.publish(event());
    let letters: DeadLetter[] = [];
    await until(async () => {
      letters = await transport.readDeadLetters({ group: world.group, handler: 'a' });
      return letters.length > 0;
    });
    expect(letters[0]).toMatchObject({ error: { code: 'delivery_limit' }, event: 'orders.order.placed' });
  });

  it('declares the queue of dead letters again when it was deleted', async () => {
    const { transport, delivery } = await received(Buffer.from('{}'), {});
    await (await world.admin()).deleteQueue(`${world.queue('a')}.dlq`);
    await transport.writeDeadLetter(letterOf(delivery));
    expect(await transport.readDeadLetters({ group: world.group, handler: 'a' })).toHaveLength(1);
  });

  it('cuts metadata, never bytes, when the headers are too many', async () => {
    const { transport, delivery } = await received(Buffer.from('[1]'), { headers: { big: 'x'.repeat(58_000) } });
    const stack = 's'.repeat(8_192);
    await transport.writeDeadLetter(letterOf(delivery, { error: { code: 'E', message: 'm', stack } }));
    const [read] = await transport.readDeadLetters({ group: world.group, handler: 'a' });
    expect(read?.original.body).toEqual(Buffer.from('[1]'));
    expect(read?.error).toEqual({ code: 'E', message: 'm' });
  });
});

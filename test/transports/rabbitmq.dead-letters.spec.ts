import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Options } from 'amqplib';
import { systemClock, type Clock } from '../../lib/core/clock.js';
import type { DeadLetter } from '../../lib/core/dead-letter.js';
import type { Delivery } from '../../lib/core/delivery.js';
import type { Transport } from '../../lib/core/transport.js';
import { LEFT_OPEN, event, RabbitmqWorld, until } from './rabbitmq.support.js';

const structured = {
  specversion: '1.0',
  id: 'e-1',
  type: 'orders.order.placed',
  source: 'shop',
  time: '2026-01-01T00:00:00Z',
  partitionkey: 'k',
  datacontenttype: 'application/json',
  data: { n: 1 },
};

/** What a foreign program sends beside the body; `bare`: without CloudEvents attributes. */
interface Sent extends Options.Publish {
  readonly bare?: boolean;
}

describe('dead letters on RabbitMQ', () => {
  let world: RabbitmqWorld;
  beforeEach(() => {
    world = new RabbitmqWorld();
  });
  afterEach(() => world.close());

  const letterOf = ({ raw }: Delivery, overrides: Partial<DeadLetter> = {}): DeadLetter => ({
    id: randomUUID(),
    group: world.group,
    handler: 'a',
    original: raw,
    reason: 'failed',
    error: { class: 'Error', code: 'E_BAD', message: 'bad', stack: 'Error: bad\n  at' },
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
      eventId: sent.id,
      reason: 'expired',
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
    expect(letters[0]).toMatchObject({ reason: 'delivery-limit', event: 'orders.order.placed' });
    expect(letters[0]?.error.code).toBe('delivery_limit');
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
    await transport.writeDeadLetter(letterOf(delivery, { error: { class: 'E', code: 'E', message: 'm', stack } }));
    const [read] = await transport.readDeadLetters({ group: world.group, handler: 'a' });
    expect(read?.original.body).toEqual(Buffer.from('[1]'));
    expect(read?.error).toEqual({ class: 'E', code: 'E', message: 'm' });
  });

  const about = () => ({ group: world.group, handler: 'a' });
  const numbers = (letters: readonly DeadLetter[]): number[] => letters.map(({ attempts }) => attempts);
  const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n);
  const never = new AbortController().signal;

  /** Dead letters that are told apart by their `attempts`. */
  async function written(count: number): Promise<{ transport: Transport; delivery: Delivery }> {
    const { transport, delivery } = await received(Buffer.from('{}'), {});
    for (const n of range(count)) await transport.writeDeadLetter(letterOf(delivery, { attempts: n }));
    return { transport, delivery };
  }

  describe('taken', () => {
    it('are removed as told, those written twice too, and the rest keeps its order in the queue', async () => {
      const { transport, delivery } = await written(9);
      const twice = letterOf(delivery, { attempts: 9 });
      for (let n = 0; n < 2; n++) await transport.writeDeadLetter(twice);
      const visited: number[] = [];
      await transport.takeDeadLetters({
        ...about(),
        signal: never,
        visit: async ({ attempts }) => {
          visited.push(attempts);
          return attempts % 3 === 0 ? 'remove' : 'keep';
        },
      });
      expect(visited).toEqual(range(10));
      const left: unknown[] = [];
      const channel = await world.admin();
      for (let got = await channel.get(`${world.queue('a')}.dlq`, { noAck: true }); got !== false;) {
        left.push(got.properties.headers?.['events-dl-attempts']);
        got = await channel.get(`${world.queue('a')}.dlq`, { noAck: true });
      }
      expect(left).toEqual(['1', '2', '4', '5', '7', '8']);
    });

    it('can be read meanwhile, and those that come meanwhile are not visited', async () => {
      const { transport, delivery } = await written(3);
      const visited: number[] = [];
      let read: DeadLetter[] = [];
      await transport.takeDeadLetters({
        ...about(),
        signal: never,
        visit: async ({ attempts }) => {
          visited.push(attempts);
          if (attempts === 1) {
            await transport.writeDeadLetter(letterOf(delivery, { attempts: 3 }));
            read = await transport.readDeadLetters(about());
          }
          return 'remove';
        },
      });
      expect(visited).toEqual(range(3));
      expect(numbers(read)).toEqual([1, 2, 3]);
      expect(numbers(await transport.readDeadLetters(about()))).toEqual([3]);
    });

    it('stop where a visit fails or a signal aborts, and what was to be removed before is', async () => {
      const { transport } = await written(6);
      const failing = transport.takeDeadLetters({
        ...about(),
        signal: never,
        visit: async ({ attempts }) => {
          if (attempts === 2) throw new Error('no more');
          return 'remove';
        },
      });
      await expect(failing).rejects.toThrow('no more');
      expect(numbers(await transport.readDeadLetters(about()))).toEqual([2, 3, 4, 5]);
      const stop = new AbortController();
      await transport.takeDeadLetters({
        ...about(),
        signal: stop.signal,
        visit: async ({ attempts }) => {
          if (attempts === 3) stop.abort();
          return attempts === 3 ? 'remove' : 'keep';
        },
      });
      expect(numbers(await transport.readDeadLetters(about()))).toEqual([2, 4, 5]);
    });

    it('are nothing where there is no queue', async () => {
      const transport = await world.connected();
      const visit = (): Promise<never> => Promise.reject(new Error('visited'));
      await transport.takeDeadLetters({ ...about(), signal: never, visit });
    });

    it('are taken to the end when the connection is lost in between, and none is visited twice', async () => {
      await written(6);
      const proxy = await world.proxy();
      const transport = await world.connected({ urls: [world.through(proxy)] });
      const visited: number[] = [];
      await transport.takeDeadLetters({
        ...about(),
        signal: never,
        visit: async ({ attempts }) => {
          visited.push(attempts);
          if (attempts === 2) {
            proxy.cut();
            await until(() => world.activities.some(({ type }) => type === 'transport-disconnected'));
          }
          return attempts === 4 ? 'keep' : 'remove';
        },
      });
      expect(visited).toEqual(range(6));
      expect(numbers(await transport.readDeadLetters(about()))).toEqual([4]);
    });
  });

  describe('collected', () => {
    const collecting = async (
      transport: Transport,
      collect: (letters: readonly DeadLetter[]) => Promise<void>,
    ): ReturnType<Transport['collectDeadLetters']> =>
      transport.collectDeadLetters({ group: world.group, handlers: ['a', 'formerly'], collect });

    it('in order, those there are and those that come, and no queue is made for a former id', async () => {
      const { transport, delivery } = await written(250);
      const collected: number[] = [];
      const sizes: number[] = [];
      const collection = await collecting(transport, async (letters) => {
        sizes.push(letters.length);
        collected.push(...numbers(letters));
      });
      await until(() => collected.length === 250);
      await transport.writeDeadLetter(letterOf(delivery, { attempts: 250 }));
      await until(() => collected.length === 251);
      await collection.close();
      expect(collected).toEqual(range(251));
      expect(Math.max(...sizes)).toBeLessThanOrEqual(100);
      expect(await transport.readDeadLetters(about())).toEqual([]);
      expect(await world.exists(`${world.queue('formerly')}.dlq`)).toBe(false);
    }, 60_000);

    it('again when they could not be kept; what is not kept at the end stays', async () => {
      const { transport } = await written(3);
      const tries: number[][] = [];
      const collection = await collecting(transport, async (letters) => {
        tries.push(numbers(letters));
        throw new Error('the disk is full');
      });
      await until(() => tries.length === 2);
      const before = Date.now();
      await collection.close();
      expect(Date.now() - before).toBeLessThan(3_000);
      expect(tries[0]).toEqual([0, 1, 2]);
      expect(tries[1]).toEqual(tries[0]);
      expect(world.log.join()).toContain('the disk is full');
      await until(async () => (await transport.readDeadLetters(about())).length === 3);
    });

    it('within a few seconds at the end, though the store does not answer', async () => {
      const { transport } = await written(2);
      let started = false;
      const collection = await collecting(transport, () => {
        started = true;
        return new Promise(() => undefined);
      });
      await until(() => started);
      const before = Date.now();
      await collection.close();
      expect(Date.now() - before).toBeLessThan(5_000);
      await until(async () => (await transport.readDeadLetters(about())).length === 2);
    });

    it('by several instances, each letter by one', async () => {
      const { transport, delivery } = await written(0);
      const shares: number[][] = [[], []];
      const collections = await Promise.all(
        shares.map(async (share) =>
          collecting(await world.connected(), async (letters) => void share.push(...numbers(letters))),
        ),
      );
      for (const n of range(100)) await transport.writeDeadLetter(letterOf(delivery, { attempts: n }));
      await until(() => shares.flat().length >= 100);
      for (const collection of collections) await collection.close();
      expect(shares.flat().sort((a, b) => a - b)).toEqual(range(100));
      for (const share of shares) expect(share.length).toBeGreaterThan(0);
    });

    it('after a lost connection, and after its queue was deleted and declared anew at once', async () => {
      const { transport: writer, delivery } = await written(1);
      const proxy = await world.proxy();
      const clock: Clock = { ...systemClock, after: (ms, call) => systemClock.after(ms < 60_000 ? ms : 500, call) };
      const transport = await world.connected({ urls: [world.through(proxy)] }, { clock });
      const collected = new Set<number>();
      const collection = await collecting(transport, async (letters) => {
        for (const n of numbers(letters)) collected.add(n);
      });
      await until(() => collected.has(0));
      proxy.cut();
      await writer.writeDeadLetter(letterOf(delivery, { attempts: 1 }));
      await until(() => collected.has(1));
      await (await world.admin()).deleteQueue(`${world.queue('a')}.dlq`);
      await writer.writeDeadLetter(letterOf(delivery, { attempts: 2 }));
      await until(
        () => collected.has(2),
        () => world.log,
      );
      await collection.close();
    });

    it('have the id that they are read with, also those that the broker made, decodable or not', async () => {
      const transport = await world.connected({ queueTtlMs: 100 });
      world.deletes(world.queue('a'));
      await transport.declare([world.subscription('a')]);
      const sent = event({ n: 1 });
      await transport.publish(sent);
      const foreign = { headers: { 'x-death': 'forged' } };
      (await world.admin()).publish(world.exchange, 'orders.order.placed', Buffer.from([0, 255]), foreign);
      let read: DeadLetter[] = [];
      await until(async () => (read = await transport.readDeadLetters(about())).length === 2);
      const again = await transport.readDeadLetters(about());
      const collected: DeadLetter[] = [];
      const collection = await collecting(transport, async (letters) => void collected.push(...letters));
      await until(() => collected.length === 2);
      await collection.close();
      const facts = (letters: DeadLetter[]): unknown =>
        letters.map(({ id, reason, eventId }) => [id, reason, eventId]).sort();
      expect(facts(again)).toEqual(facts(read));
      expect(facts(collected)).toEqual(facts(read));
      expect(read.map(({ reason }) => reason)).toEqual(['expired', 'expired']);
      expect(new Set(read.map(({ id }) => id)).size).toBe(2);
      expect(read.map(({ eventId }) => eventId).filter(Boolean)).toEqual([sent.id]);
    });
  });

  it.each<[string, string | Buffer, Sent]>([
    ['an event', '{"n":1}', { contentType: 'application/json' }],
    ['a structured one', JSON.stringify(structured), { contentType: 'application/cloudevents+json' }],
    [
      'a structured one that a header tells',
      JSON.stringify(structured),
      { headers: { 'content-type': 'application/cloudevents+json' } },
    ],
    ['bytes', Buffer.from([0, 255]), { contentType: 'application/octet-stream' }],
    ['broken JSON', '{"n":', { contentType: 'application/json' }],
    [
      'foreign headers',
      '1',
      { headers: { n: 7, yes: true, table: { a: [1] }, list: ['a', Buffer.from([1])], 'x-own': 'x' } },
    ],
    [
      'all properties',
      '1',
      { messageId: 'm', timestamp: 1_700_000_000, priority: 3, type: 't', appId: 'a', replyTo: 'r' },
    ],
    ['no attributes', 'x', { bare: true }],
  ])('decodes what a raw event keeps as it arrived: %s', async (_what, body, { bare, headers, ...properties }) => {
    const { data: _data, datacontenttype: _type, ...attributes } = structured;
    const own = Object.entries(attributes).map(([name, value]): [string, string] => [`cloudEvents_${name}`, value]);
    const options: Options.Publish = {
      ...properties,
      headers: { ...Object.fromEntries(bare === true ? [] : own), ...(headers as object) },
    };
    const { transport, delivery } = await received(Buffer.from(body), options);
    const content = transport.decode(delivery.raw);
    if ('envelope' in delivery.content) expect(content).toEqual(delivery.content);
    else expect(String((content as { undecodable: unknown }).undecodable)).toBe(String(delivery.content.undecodable));
    await transport.writeDeadLetter(letterOf(delivery));
    const [read] = await transport.readDeadLetters(about());
    expect(transport.decode(read!.original)).toEqual(content);
  });
});

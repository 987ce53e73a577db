import { describe, expect, test } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { EventBus, OnEvent, PartialPublish, memory, type Attempt, type Envelope } from '../../lib/index.js';
import { useApps } from '../support/nest-app.js';

const start = useApps();

test('publish resolves with the envelope as it was sent', async () => {
  const app = await start();
  const envelope = await app.bus.publish('orders.order.placed', { total: 1 }, { key: 'user-1', subject: 'order-1' });
  expect(envelope).toMatchObject({ name: 'orders.order.placed', source: 'shop', key: 'user-1', subject: 'order-1' });
  expect(envelope.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
  expect(envelope.correlationId).toBe(envelope.id);
  expect(envelope.causationId).toBeUndefined();
  expect(app.of('published')).toMatchObject([{ id: envelope.id, event: 'orders.order.placed', transport: 'memory' }]);
});

test.each([
  ['a name with a wildcard', 'orders.*', null, {}, 'EVENTS_NAME_INVALID'],
  ['a reserved name', 'orders.retry', null, {}, 'EVENTS_NAME_INVALID'],
  ['data with a cycle', 'orders.order.placed', cycle(), {}, 'EVENTS_DATA_NOT_SERIALIZABLE'],
  ['a BigInt', 'orders.order.placed', { n: 1n }, {}, 'EVENTS_DATA_NOT_SERIALIZABLE'],
  ['half a surrogate pair as key', 'orders.order.placed', null, { key: '\ud800' }, 'EVENTS_ENVELOPE_INVALID'],
  ['a time that is none', 'orders.order.placed', null, { time: 'yesterday' }, 'EVENTS_ENVELOPE_INVALID'],
  ['a reserved header', 'orders.order.placed', null, { headers: { ce_id: '1' } }, 'EVENTS_HEADER_INVALID'],
  ['too much data', 'orders.order.placed', 'x'.repeat(1_000_000), {}, 'EVENTS_PAYLOAD_TOO_LARGE'],
  ['an unknown transport', 'orders.order.placed', null, { transport: 'kafka' }, 'EVENTS_TRANSPORT_UNKNOWN'],
])('%s is refused before anything is sent', async (_, name, data, options, code) => {
  const app = await start();
  await expect(app.bus.publish(name, data, options)).rejects.toMatchObject({ code, remedy: expect.any(String) });
  expect(app.of('published')).toEqual([]);
});

describe('inside a handler', () => {
  @Injectable()
  class Payments {
    static readonly published: Envelope[] = [];
    constructor(private readonly bus: EventBus) {}
    @OnEvent('orders.order.placed', { id: 'capture' })
    async capture(_: unknown, __: Envelope, attempt: Attempt): Promise<void> {
      const { published } = Payments;
      published.push(await this.bus.publish('payments.payment.captured', { by: 'capture' }));
      await Promise.resolve();
      published.push(await this.bus.publish('payments.payment.captured', { by: 'capture' }));
      if (attempt.attempt < 3) throw new Error('after it published');
    }
  }
  @Injectable()
  class Invoices {
    constructor(private readonly bus: EventBus) {}
    @OnEvent('orders.order.placed', { id: 'invoice' })
    async invoice(): Promise<void> {
      await this.bus.publish('invoices.invoice.sent', null);
    }
  }

  test('a second run publishes the same ids; each event and handler has its own', async () => {
    Payments.published.length = 0;
    const app = await start({ providers: [Payments, Invoices] });
    await app.bus.publish('orders.order.placed', null, { id: 'order-1' });
    await app.saw('handled', 2);
    const ids = Payments.published.map(({ id }) => id);
    expect(ids).toEqual([ids[0], ids[1], ids[0], ids[1], ids[0], ids[1]]);
    const others = app.of('published').map(({ id }) => id);
    expect(new Set(others).size).toBe(4);
  });

  test('what it publishes belongs to the same story', async () => {
    Payments.published.length = 0;
    const app = await start({ providers: [Payments] });
    const order = await app.bus.publish('orders.order.placed', null, { correlationId: 'story-1' });
    await app.saw('handled');
    for (const { causationId, correlationId } of Payments.published) {
      expect({ causationId, correlationId }).toEqual({ causationId: order.id, correlationId: 'story-1' });
    }
  });

  test('an id that is given is kept', async () => {
    @Injectable()
    class Keeps {
      constructor(private readonly bus: EventBus) {}
      @OnEvent('orders.order.placed')
      async handle(): Promise<void> {
        await this.bus.publish('orders.order.seen', null, { id: 'mine', correlationId: 'other story' });
      }
    }
    const app = await start({ providers: [Keeps] });
    await app.bus.publish('orders.order.placed', null);
    await app.saw('handled');
    expect(app.of('published')).toContainEqual(expect.objectContaining({ id: 'mine' }));
  });
});

test('publishAll publishes all, in order per key', async () => {
  const seen: unknown[] = [];
  @Injectable()
  class Emails {
    @OnEvent('orders.#')
    send(data: unknown): void {
      seen.push(data);
    }
  }
  const app = await start({ providers: [Emails] });
  const events = Array.from({ length: 20 }, (_, n) => ({ name: `orders.order.e${n % 3}`, data: n, key: 'one' }));
  const envelopes = await app.bus.publishAll(events);
  await app.saw('handled', 20);
  expect(envelopes.map(({ data }) => data)).toEqual(events.map(({ data }) => data));
  expect(seen).toEqual(events.map(({ data }) => data));
  expect(await app.bus.publishAll([])).toEqual([]);
});

test('publishAll that fails in part says which events; the others are published', async () => {
  @Injectable()
  class Emails {
    @OnEvent('orders.order.placed')
    send(): void {}
  }
  const app = await start({ providers: [Emails], options: { maxPayloadBytes: 100 } });
  const large = 'x'.repeat(101);
  const events = ['a', large, 'b', large].map((data) => ({ name: 'orders.order.placed', data }));

  const error = await app.bus.publishAll(events).catch((reason: unknown) => reason);

  expect(error).toMatchObject({
    code: 'EVENTS_PUBLISH_PARTIAL',
    message: expect.stringContaining('2 of 4 events were not published: 1, 3'),
  });
  const { cause } = error as { cause: unknown };
  expect(cause).toBeInstanceOf(PartialPublish);
  expect((cause as PartialPublish).failures).toMatchObject([
    { index: 1, error: { code: 'EVENTS_PAYLOAD_TOO_LARGE' } },
    { index: 3, error: { code: 'EVENTS_PAYLOAD_TOO_LARGE' } },
  ]);
  await app.saw('handled', 2);
});

test('publishAll with an event that can never be published sends none', async () => {
  const app = await start();
  const events = [
    { name: 'orders.order.placed', data: null },
    { name: 'orders order', data: null },
  ];
  await expect(app.bus.publishAll(events)).rejects.toMatchObject({ code: 'EVENTS_NAME_INVALID' });
  expect(app.of('published')).toEqual([]);
});

describe('with several transports', () => {
  @Injectable()
  class Handlers {
    @OnEvent('#', { id: 'everything' })
    everything(): void {}
    @OnEvent('orders.order.placed', { id: 'orders' })
    orders(): void {}
    @OnEvent('orders.order.placed', { id: 'elsewhere', transport: 'second' })
    elsewhere(): void {}
  }
  const options = {
    transports: [memory({ name: 'first' }), memory({ name: 'second' }), memory({ name: 'third' })],
    routes: { 'mail.#': 'second', 'mail.urgent.*': 'third', 'orders.vip.#': 'third' },
  };

  test('a name goes to the first route that matches, else to the first transport, else where it is told', async () => {
    const app = await start({ options });
    const wanted: [string, string][] = [
      ['orders.order.placed', 'first'],
      ['mail.sent', 'second'],
      ['mail', 'second'],
      ['mail.urgent.sent', 'second'],
      ['orders.vip.placed', 'third'],
    ];
    for (const [name] of wanted) await app.bus.publish(name, null);
    await app.bus.publish('orders.order.placed', null, { transport: 'third' });
    expect(app.of('published').map(({ event, transport }) => [event, transport])).toEqual([
      ...wanted,
      ['orders.order.placed', 'third'],
    ]);
  });

  test('a handler listens where its pattern can be routed to, or where it is told', async () => {
    const app = await start({ options, providers: [Handlers] });
    await app.bus.publish('mail.sent', null);
    await app.bus.publish('orders.order.placed', null);
    await app.bus.publish('orders.order.placed', null, { transport: 'second' });
    const handled = await app.saw('handled', 5);
    expect(handled.map(({ handler, transport }) => `${handler} ${transport}`).sort()).toEqual([
      'elsewhere second',
      'everything first',
      'everything second',
      'everything second',
      'orders first',
    ]);
  });
});

test('a transaction without an outbox is refused with the remedy', async () => {
  const app = await start();
  const refused = { code: 'EVENTS_OUTBOX_MISSING', remedy: expect.stringContaining('typeormOutbox()') };
  await expect(app.bus.publish('orders.order.placed', null, { manager: {} })).rejects.toMatchObject(refused);
  await expect(app.bus.publishAll([], { manager: {} })).rejects.toMatchObject(refused);
  await expect(app.bus.transactional(async () => 1)).rejects.toMatchObject(refused);
});

function cycle(): unknown {
  const data: Record<string, unknown> = {};
  data['self'] = data;
  return data;
}

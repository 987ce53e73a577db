import { expect, test } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { EventsHealth, memory, OnEvent, type TransportDefinition } from '../../lib/index.js';
import { eventually, Gate } from '../support/eventually.js';
import { useApps } from '../support/nest-app.js';

const start = useApps();
const RETRY = { breaker: { backoff: { type: 'fixed', initialMs: 50, maxMs: 50, jitter: false } } } as const;

test('an application that is well is up, with its transports and handlers', async () => {
  @Injectable()
  class Mails {
    @OnEvent('orders.order.placed', { id: 'mails' })
    send(): void {}
  }
  const app = await start({ providers: [Mails] });
  expect(app.module.get(EventsHealth).snapshot()).toEqual({
    status: 'up',
    transports: [{ name: 'memory', connected: true }],
    handlers: [{ group: 'shop', handler: 'mails', breaker: 'closed', since: expect.any(String) }],
    pausedIntakes: [],
  });
  await app.close();
  expect(app.module.get(EventsHealth).snapshot()).toMatchObject({ status: 'down', transports: [{ connected: false }] });
});

test('a handler that waits for what it needs is told, with the code and nothing else of the error', async () => {
  let away = true;
  @Injectable()
  class Mails {
    @OnEvent('orders.order.placed', { id: 'mails', retry: RETRY })
    send(): void {
      if (away) throw Object.assign(new Error('postgres://ann:secret@db refused'), { code: 'ECONNREFUSED' });
    }
  }
  const app = await start({ providers: [Mails] });
  const health = app.module.get(EventsHealth);
  await app.bus.publish('orders.order.placed', { card: '4242' });
  await app.saw('breaker');
  const snapshot = health.snapshot();
  expect(snapshot).toMatchObject({ status: 'degraded', handlers: [{ handler: 'mails', error: 'ECONNREFUSED' }] });
  expect(snapshot.handlers[0]?.breaker).not.toBe('closed');
  expect(JSON.stringify(snapshot)).not.toMatch(/secret|4242|postgres/);
  away = false;
  await app.saw('handled');
  expect(health.snapshot()).toMatchObject({ status: 'up', handlers: [{ breaker: 'closed' }] });
  expect(health.snapshot().handlers[0]).not.toHaveProperty('error');
});

test('dead letters that cannot be written are told, until they can', async () => {
  let failures = 2;
  const definition = memory();
  const transport: TransportDefinition = {
    ...definition,
    create: (environment) => {
      const created = definition.create(environment);
      const write = created.writeDeadLetter.bind(created);
      created.writeDeadLetter = async (letter) => {
        if (failures-- > 0) throw new Error('the queue is gone');
        return write(letter);
      };
      return created;
    },
  };
  @Injectable()
  class Mails {
    @OnEvent('orders.order.placed', { id: 'mails', retry: { attempts: 1 } })
    send(): void {
      throw new Error('boom');
    }
  }
  const app = await start({ providers: [Mails], options: { transports: [transport] } });
  const health = app.module.get(EventsHealth);
  await app.bus.publish('orders.order.placed', {});
  await app.saw('dead-letter-failed', 2);
  expect(health.snapshot()).toMatchObject({
    status: 'degraded',
    handlers: [{ breaker: 'closed', deadLettersFailingSince: expect.any(String) }],
  });
  await app.saw('dead-lettered');
  expect(health.snapshot().status).toBe('up');
});

test('an intake that has come to a stop is told, until it goes on', async () => {
  const gate = new Gate();
  @Injectable()
  class Mails {
    @OnEvent('orders.order.placed', { id: 'mails' })
    async send(): Promise<void> {
      await gate.passed;
    }
  }
  const app = await start({ providers: [Mails], options: { window: { maxDeliveries: 3 } } });
  const health = app.module.get(EventsHealth);
  for (let n = 0; n < 5; n++) await app.bus.publish('orders.order.placed', { n });
  await app.saw('intake-paused');
  expect(health.snapshot()).toMatchObject({
    status: 'degraded',
    pausedIntakes: [{ transport: 'memory', group: 'shop', place: 'shop.mails', since: expect.any(String) }],
  });
  gate.open();
  await app.saw('handled', 5);
  await eventually(() => health.snapshot().status === 'up', { what: 'up again' });
});

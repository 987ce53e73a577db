import { expect, test } from '@jest/globals';
import { Injectable, type BeforeApplicationShutdown, type OnModuleDestroy } from '@nestjs/common';
import { EventAttempt, EventBus, MemoryBroker, OnEvent, memory, type Attempt } from '../../lib/index.js';
import { Gate, eventually } from '../support/eventually.js';
import { useApps } from '../support/nest-app.js';

const start = useApps();

test('closing waits for the handler that runs; what waits behind it is not started', async () => {
  const broker = new MemoryBroker();
  const gate = new Gate();
  const calls: number[] = [];
  @Injectable()
  class Emails {
    @OnEvent('orders.order.placed', { concurrency: 1 })
    async send({ n }: { n: number }): Promise<void> {
      calls.push(n);
      await gate.passed;
    }
  }
  const options = { transports: [memory({ broker })] };
  const app = await start({ providers: [Emails], options });
  for (let n = 0; n < 3; n++) await app.bus.publish('orders.order.placed', { n });
  await eventually(() => calls.length === 1);

  let closed = false;
  const closing = app.close().then(() => (closed = true));
  await new Promise((resolve) => setImmediate(resolve));
  expect(closed).toBe(false);
  gate.open();
  await closing;

  expect(calls).toEqual([0]);
  expect(app.of('handled')).toHaveLength(1);
  const next = await start({ providers: [Emails], options });
  await next.saw('handled', 2);
  expect(calls).toEqual([0, 1, 2]);
});

test('a parked event is released and handled by the next instance', async () => {
  const broker = new MemoryBroker();
  let works = false;
  @Injectable()
  class Emails {
    @OnEvent('orders.order.placed', { retry: { backoff: { initialMs: 600_000, maxMs: 600_000 } } })
    send(): void {
      if (!works) throw new Error('not now');
    }
  }
  const options = { transports: [memory({ broker })] };
  const app = await start({ providers: [Emails], options });
  const { id } = await app.bus.publish('orders.order.placed', null);
  await app.saw('retried');

  await app.close();

  expect(app.of('released')).toMatchObject([{ id, handler: 'Emails.send' }]);
  expect([...app.of('handled'), ...app.of('dead-lettered')]).toEqual([]);
  works = true;
  const next = await start({ providers: [Emails], options });
  expect(await next.saw('handled')).toMatchObject([{ id, attempt: 1 }]);
});

test('after the deadline the signal tells the handler to stop, and the event is delivered again', async () => {
  const broker = new MemoryBroker();
  let aborted = false;
  @Injectable()
  class Reports {
    @OnEvent('reports.report.wanted')
    async make(@EventAttempt() { signal }: Attempt): Promise<void> {
      await new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          aborted = true;
          reject(new Error('stopped'));
        });
      });
    }
  }
  const options = { transports: [memory({ broker })], drainTimeoutMs: 30 };
  const app = await start({ providers: [Reports], options });
  const { id } = await app.bus.publish('reports.report.wanted', null);
  await new Promise((resolve) => setImmediate(resolve));

  await app.close();

  expect(aborted).toBe(true);
  expect(app.logger.messages('warn')).toContainEqual(
    expect.stringMatching(/1 consumer\(s\) still had handlers running after 30 ms/),
  );
  expect(app.of('handled')).toEqual([]);
  const seen: string[] = [];
  @Injectable()
  class Again {
    @OnEvent('reports.report.wanted', { id: 'Reports.make' })
    make(_: unknown, envelope: { id: string }): void {
      seen.push(envelope.id);
    }
  }
  const next = await start({ providers: [Again], options });
  await next.saw('handled');
  expect(seen).toEqual([id]);
});

test('a handler that ignores the signal does not keep the application open', async () => {
  @Injectable()
  class Endless {
    @OnEvent('reports.report.wanted')
    make(): Promise<never> {
      return new Promise(() => undefined);
    }
  }
  const app = await start({ providers: [Endless], options: { drainTimeoutMs: 30 } });
  await app.bus.publish('reports.report.wanted', null);
  await app.close();
});

test('a handler that runs while the application closes may still publish; so may other code until the end', async () => {
  const broker = new MemoryBroker();
  const gate = new Gate();
  @Injectable()
  class Payments implements OnModuleDestroy, BeforeApplicationShutdown {
    constructor(private readonly bus: EventBus) {}
    @OnEvent('orders.order.placed')
    async capture(): Promise<void> {
      await gate.passed;
      await this.bus.publish('payments.payment.captured', 'by the handler');
    }
    async onModuleDestroy(): Promise<void> {
      await this.bus.publish('payments.payment.captured', 'in onModuleDestroy');
    }
    async beforeApplicationShutdown(): Promise<void> {
      gate.open();
      await this.bus.publish('payments.payment.captured', 'in beforeApplicationShutdown');
    }
  }
  const options = { transports: [memory({ broker })] };
  broker.declare('other.service', ['payments.#']);
  const app = await start({ providers: [Payments], options });
  await app.bus.publish('orders.order.placed', null);

  await app.close();

  expect(app.of('published')).toHaveLength(4);
  expect(app.of('handled')).toHaveLength(1);
  await expect(app.bus.publish('orders.order.placed', null)).rejects.toMatchObject({ code: 'EVENTS_TRANSPORT_CLOSED' });
});

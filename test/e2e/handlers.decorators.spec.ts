import { expect, test } from '@jest/globals';
import {
  BadRequestException,
  Controller,
  DefaultValuePipe,
  Injectable,
  ParseIntPipe,
  type PipeTransform,
} from '@nestjs/common';
import { Ctx, Payload as MicroservicePayload } from '@nestjs/microservices';
import {
  EventAttempt,
  EventEnvelope,
  OnBrokerEvent,
  OnEvent,
  Payload,
  type Attempt,
  type Envelope,
} from '../../lib/index.js';
import { useApps } from '../support/nest-app.js';

const start = useApps();

test('a handler without parameter decorators gets the data and the envelope', async () => {
  const calls: unknown[][] = [];
  @Injectable()
  class Emails {
    @OnEvent('orders.order.placed')
    send(...args: unknown[]): void {
      calls.push(args);
    }
  }
  const { bus, saw } = bound(await start({ providers: [Emails] }));

  const envelope = await bus.publish('orders.order.placed', { total: 1 }, { key: 'user-1', headers: { tenant: 'a' } });

  await saw('handled');
  const [data, received] = calls[0] ?? [];
  expect(data).toEqual({ total: 1 });
  expect(received).toMatchObject({ id: envelope.id, name: 'orders.order.placed', key: 'user-1', source: 'shop' });
});

test('@Payload, one property of it, @EventEnvelope and @EventAttempt stand in any order', async () => {
  const calls: unknown[] = [];
  @Injectable()
  class Emails {
    @OnEvent('orders.order.placed', { id: 'confirmation-email' })
    send(
      @EventAttempt() attempt: Attempt,
      @Payload('quantity', ParseIntPipe) quantity: number,
      @EventEnvelope() envelope: Envelope,
      @Payload() order: unknown,
      @Payload('note', new DefaultValuePipe('none')) note: string,
      @Payload('constructor') inherited: unknown,
    ): void {
      calls.push({ attempt: attempt.attempt, quantity, name: envelope.name, order, note, inherited });
      expect(attempt.signal.aborted).toBe(false);
      expect(attempt.subscription).toMatchObject({ handler: 'confirmation-email', group: 'shop' });
    }
  }
  const { bus, saw } = bound(await start({ providers: [Emails] }));

  await bus.publish('orders.order.placed', { quantity: '12' });

  const [handled] = await saw('handled');
  expect(handled).toMatchObject({ handler: 'confirmation-email', attempt: 1 });
  expect(calls).toEqual([
    {
      attempt: 1,
      quantity: 12,
      name: 'orders.order.placed',
      order: { quantity: '12' },
      note: 'none',
      inherited: undefined,
    },
  ]);
});

test('an event that a pipe refuses is a dead letter at once', async () => {
  class Positive implements PipeTransform {
    transform(value: { total?: number }): { total: number } {
      if (value.total === undefined) throw new BadRequestException('total is missing');
      return { total: value.total };
    }
  }
  const seen: unknown[] = [];
  @Injectable()
  class Invoices {
    @OnEvent('orders.order.placed', { id: 'object' })
    whole(@Payload(Positive) order: unknown): void {
      seen.push(order);
    }
    @OnEvent('orders.order.placed', { id: 'number' })
    number(@Payload('quantity', ParseIntPipe) quantity: number): void {
      seen.push(quantity);
    }
  }
  const app = await start({ providers: [Invoices] });

  await app.bus.publish('orders.order.placed', { quantity: 'many' });
  await app.saw('dead-lettered', 2);
  await app.bus.publish('orders.order.placed', { total: 2, quantity: '3', more: true });
  await app.saw('handled', 2);

  expect(seen).toEqual(expect.arrayContaining([{ total: 2 }, 3]));
  expect(app.of('retried')).toEqual([]);
  const [letter] = await app.deadLetters('object');
  expect(letter).toMatchObject({ attempts: 1, error: { code: 'BadRequestException', message: 'total is missing' } });
});

test('@Payload and @Ctx of @nestjs/microservices work, pipes included', async () => {
  const calls: unknown[][] = [];
  @Controller()
  class Orders {
    @OnEvent('orders.order.placed')
    placed(
      @MicroservicePayload() order: unknown,
      @Ctx() context: Attempt,
      @MicroservicePayload('quantity', ParseIntPipe) quantity: number,
      @EventEnvelope() envelope: Envelope,
    ): void {
      calls.push([order, context.attempt, quantity, envelope.name]);
    }
  }
  const { bus, saw } = bound(await start({ controllers: [Orders] }));
  await bus.publish('orders.order.placed', { quantity: '4' });
  await saw('handled');
  expect(calls).toEqual([[{ quantity: '4' }, 1, 4, 'orders.order.placed']]);
});

test('several decorators on a method are one handler: an event that matches more than one is handled once', async () => {
  const names: string[] = [];
  @Injectable()
  class Audit {
    @OnEvent('orders.order.placed')
    @OnEvent(['orders.*.placed', 'payments.#'])
    @OnBrokerEvent('mail.sent')
    record(_: unknown, envelope: Envelope): void {
      names.push(envelope.name);
    }
  }
  const { bus, saw } = bound(await start({ providers: [Audit] }));

  const published = ['orders.order.placed', 'orders.cart.placed', 'payments', 'payments.payment.captured', 'mail.sent'];
  for (const name of published) await bus.publish(name, null, { key: 'in order' });

  await saw('handled', published.length);
  expect(names).toEqual(published);
});

test('decorators with ids of their own on one method are handlers of their own', async () => {
  @Injectable()
  class Stock {
    @OnEvent('orders.order.placed', { id: 'reserve' })
    @OnEvent('orders.#', { id: 'count' })
    change(): void {}
  }
  const { bus, saw } = bound(await start({ providers: [Stock] }));
  await bus.publish('orders.order.placed', null);
  const handled = await saw('handled', 2);
  expect(handled.map(({ handler }) => handler).sort()).toEqual(['count', 'reserve']);
});

test('providers and controllers both handle; the id is Class.method unless given', async () => {
  @Injectable()
  class Emails {
    @OnEvent('orders.order.placed')
    send(): void {}
  }
  @Controller()
  class OrdersController {
    @OnEvent('orders.order.placed')
    async placed(): Promise<void> {}
  }
  const app = await start({ providers: [Emails], controllers: [OrdersController] });
  await app.bus.publish('orders.order.placed', null);
  const handled = await app.saw('handled', 2);
  expect(handled.map(({ handler }) => handler).sort()).toEqual(['Emails.send', 'OrdersController.placed']);
  expect(app.logger.messages('log')).toContainEqual(
    expect.stringContaining('shop.Emails.send handles orders.order.placed'),
  );
});

test('a provider known by two tokens handles each event once', async () => {
  let calls = 0;
  @Injectable()
  class Emails {
    @OnEvent('orders.order.placed')
    send(): void {
      calls++;
    }
  }
  const { bus, saw } = bound(await start({ providers: [Emails, { provide: 'alias', useExisting: Emails }] }));
  await bus.publish('orders.order.placed', null);
  await saw('handled');
  expect(calls).toBe(1);
});

test('a handler inherited from a base class runs on the class that inherits it', async () => {
  const seen: string[] = [];
  abstract class Base {
    abstract readonly name: string;
    @OnEvent('orders.order.placed')
    handle(): void {
      seen.push(this.name);
    }
  }
  @Injectable()
  class First extends Base {
    readonly name = 'first';
  }
  @Injectable()
  class Second extends Base {
    readonly name = 'second';
  }
  const { bus, saw } = bound(await start({ providers: [First, Second] }));
  await bus.publish('orders.order.placed', null);
  const handled = await saw('handled', 2);
  expect(handled.map(({ handler }) => handler).sort()).toEqual(['First.handle', 'Second.handle']);
  expect(seen.sort()).toEqual(['first', 'second']);
});

test('what a handler changes in its data no other handler sees', async () => {
  const seen: unknown[] = [];
  @Injectable()
  class Handlers {
    @OnEvent('orders.order.placed', { id: 'a' })
    a(order: { total: number }): void {
      seen.push(order.total++);
    }
    @OnEvent('orders.order.placed', { id: 'b' })
    b(order: { total: number }): void {
      seen.push(order.total++);
    }
  }
  const { bus, saw } = bound(await start({ providers: [Handlers] }));
  const order = { total: 1 };
  await bus.publish('orders.order.placed', order);
  await saw('handled', 2);
  expect(seen).toEqual([1, 1]);
  expect(order.total).toBe(1);
});

/** The parts of an app that a short test needs, free of `this`. */
function bound(app: Awaited<ReturnType<typeof start>>): Pick<typeof app, 'bus' | 'saw'> {
  return { bus: app.bus, saw: (type, count) => app.saw(type, count) };
}

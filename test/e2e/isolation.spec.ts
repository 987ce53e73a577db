import { expect, test } from '@jest/globals';
import { Injectable, type Type } from '@nestjs/common';
import { EventBus, MemoryBroker, OnEvent, memory, memoryIdempotency, type Envelope } from '../../lib/index.js';
import { Gate, eventually } from '../support/eventually.js';
import { useApps } from '../support/nest-app.js';

const start = useApps();

function emails(calls: string[]): Type<unknown> {
  @Injectable()
  class Emails {
    @OnEvent('orders.order.placed', { id: 'email' })
    send(_: unknown, { id }: Envelope): void {
      calls.push(id);
    }
  }
  return Emails;
}

test('two applications in one process do not see each other’s events, duplicates or activities', async () => {
  const [firstCalls, secondCalls]: [string[], string[]] = [[], []];
  const options = () => ({ idempotency: memoryIdempotency() });
  const first = await start({ providers: [emails(firstCalls)], options: options() });
  const second = await start({ providers: [emails(secondCalls)], options: options() });

  await first.bus.publish('orders.order.placed', null, { id: 'one' });
  await first.saw('handled');
  await second.bus.publish('orders.order.placed', null, { id: 'one' });
  await second.saw('handled');

  expect(firstCalls).toEqual(['one']);
  expect(secondCalls).toEqual(['one']);
  expect(first.of('published')).toHaveLength(1);
  expect(second.of('published')).toHaveLength(1);
});

test('closing one leaves the other running', async () => {
  const calls: string[] = [];
  const first = await start({ providers: [emails([])] });
  const second = await start({ providers: [emails(calls)] });
  await first.close();
  await second.bus.publish('orders.order.placed', null, { id: 'after' });
  await second.saw('handled');
  expect(calls).toEqual(['after']);
});

test('what a handler of one application publishes through the other belongs to no story of the first', async () => {
  const other = await start();
  @Injectable()
  class Bridge {
    constructor(private readonly bus: EventBus) {}
    @OnEvent('orders.order.placed')
    async handle(): Promise<void> {
      await other.bus.publish('elsewhere.thing.happened', null);
      await this.bus.publish('here.thing.happened', null);
    }
  }
  const app = await start({ providers: [Bridge] });
  const { id } = await app.bus.publish('orders.order.placed', null);
  await app.saw('handled');
  const [elsewhere] = other.of('published');
  expect(elsewhere?.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
  const here = app.of('published').find(({ event }) => event === 'here.thing.happened');
  expect(here?.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8/);
  expect(id).not.toBe(here?.id);
});

test('a slow application does not hold up another on the same broker', async () => {
  const broker = new MemoryBroker();
  const gate = new Gate();
  const calls: string[] = [];
  @Injectable()
  class Slow {
    @OnEvent('orders.order.placed')
    handle(): Promise<void> {
      return gate.passed;
    }
  }
  const transports = [memory({ broker })];
  const slow = await start({ providers: [Slow], options: { service: 'slow', transports } });
  await start({ providers: [emails(calls)], options: { service: 'fast', transports } });
  for (let n = 0; n < 30; n++) await slow.bus.publish('orders.order.placed', null, { id: `${n}` });
  await eventually(() => calls.length === 30);
  gate.open();
  await slow.saw('handled', 30);
});

import { afterEach, expect, test } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { config } from 'rxjs';
import {
  ACTIVITY_CHANNEL,
  ActivityStream,
  OnEvent,
  memoryIdempotency,
  outcome,
  type Activity,
} from '../../lib/index.js';
import { eventually } from '../support/eventually.js';
import { useApps } from '../support/nest-app.js';

const start = useApps();
afterEach(() => {
  config.onUnhandledError = null;
});

@Injectable()
class Orders {
  @OnEvent('orders.order.*', { id: 'orders' })
  handle(data: 'well' | 'drop' | 'fail' | 'dependency', { name }: { name: string }): unknown {
    if (data === 'drop') return outcome.drop(`not ${name}`);
    if (data === 'fail') throw new RangeError('it failed');
    return undefined;
  }
}

test('the stream tells what happens to each event, in order', async () => {
  const app = await start({ providers: [Orders], options: { idempotency: memoryIdempotency() } });
  const publish = (data: string, id: string): Promise<unknown> =>
    app.bus.publish('orders.order.placed', data, { id, key: 'k' });
  await publish('well', 'one');
  await publish('well', 'one');
  await publish('drop', 'two');
  await publish('fail', 'three');
  await app.saw('dead-lettered');

  const about = { handler: 'orders', group: 'shop', transport: 'memory', event: 'orders.order.placed' };
  const of = (id: string): Activity[] => app.activities.filter((activity) => 'id' in activity && activity.id === id);
  expect(of('one').filter(({ type }) => type !== 'published')).toEqual([
    { type: 'handled', attempt: 1, tookMs: expect.any(Number), id: 'one', ...about },
    { type: 'duplicate', id: 'one', ...about },
  ]);
  expect(of('two').at(-1)).toEqual({ type: 'dropped', reason: 'not orders.order.placed', id: 'two', ...about });
  expect(of('three').slice(1)).toMatchObject([
    { type: 'retried', attempt: 1, afterMs: 5, dependency: false, error: { message: 'it failed' }, ...about },
    { type: 'retried', attempt: 2 },
    { type: 'retried', attempt: 3 },
    { type: 'dead-lettered', attempt: 4, data: 'fail', error: { message: 'it failed' }, ...about },
  ]);
});

test('the same activities are on the diagnostics channel', async () => {
  const seen: Activity[] = [];
  const listen = (message: unknown): void => void seen.push(message as Activity);
  subscribe(ACTIVITY_CHANNEL, listen);
  try {
    const app = await start({ providers: [Orders] });
    await app.bus.publish('orders.order.placed', 'well');
    await app.saw('handled');
    await eventually(() => app.activities.every((activity) => seen.includes(activity)));
  } finally {
    unsubscribe(ACTIVITY_CHANNEL, listen);
  }
});

test('a subscriber that throws changes nothing for the event, nor for the other subscribers', async () => {
  const errors: unknown[] = [];
  config.onUnhandledError = (error) => void errors.push(error);
  const app = await start({ providers: [Orders] });
  const { activities } = app.module.get(ActivityStream);
  const others: Activity[] = [];
  const broken = activities.subscribe(() => {
    throw new Error('a dashboard is broken');
  });
  activities.subscribe((activity) => void others.push(activity));

  await app.bus.publish('orders.order.placed', 'well');
  await app.bus.publish('orders.order.placed', 'fail');

  await app.saw('dead-lettered');
  expect(app.of('handled')).toHaveLength(1);
  expect(others.map(({ type }) => type)).toContain('dead-lettered');
  broken.unsubscribe();
  // n.b. rxjs hands the error to the process, as for every Observable: without this hook it is an uncaught exception.
  await eventually(() => errors.length === others.length);
});

test('the stream ends when the application has closed', async () => {
  const app = await start();
  let completed = false;
  app.module.get(ActivityStream).activities.subscribe({ complete: () => (completed = true) });
  await app.close();
  expect(completed).toBe(true);
});

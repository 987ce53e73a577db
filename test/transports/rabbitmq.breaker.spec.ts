import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { rabbitmq } from '../../lib/rabbitmq.js';
import { withBroker } from '../support/brokers.js';
import { eventually } from '../support/eventually.js';
import type { TestConsumer, TestHandler } from '../support/test-consumer.js';
import { TransportWorld } from '../support/transport-world.js';
import { uniqueWord } from '../support/unique.js';

const CONCURRENCY = 5;
const PREFETCH = 10;
const away = (): never => {
  throw Object.assign(new Error('away'), { code: 'ECONNREFUSED' });
};
const waiting = (ms: number) => ({
  attempts: 1,
  breaker: { backoff: { type: 'fixed', initialMs: ms, maxMs: ms, jitter: false } as const },
});

withBroker('rabbitmq', 'RABBITMQ_URL', (url) => {
  let world: TransportWorld;
  beforeEach(() => {
    world = new TransportWorld();
  });
  afterEach(() => world.close());

  const open = () => world.open(rabbitmq({ url, prefetch: PREFETCH }));
  const numbers = (consumer: TestConsumer): number[] =>
    consumer.done.map(({ envelope }) => (envelope.data as { n: number }).n);

  test('an instance whose breaker is open holds at most a prefetch, and the others take the rest', async () => {
    const [domain, group] = [uniqueWord('breaker'), uniqueWord('group')];
    const name = `${domain}.order.placed`;
    const [one, two] = [await open(), await open()];
    let isAway = true;
    const handler: TestHandler = { group, patterns: [name], concurrency: CONCURRENCY, retry: waiting(500) };
    const broken = await one.consume({ ...handler, handle: () => (isAway ? away() : undefined) });
    await one.publish(name, { n: -1 });
    await eventually(() => broken.count('breaker') > 0, { what: 'the breaker opens' });
    const well = await two.consume(handler);

    await one.publishMany(name, 200, (n) => ({ key: `k${n}` }));
    await well.handled(201 - PREFETCH, { deadlineMs: 5_000 });
    expect(broken.done).toEqual([]);
    isAway = false;
    await eventually(() => well.ids.size + broken.ids.size === 201, { what: 'handling the rest' });

    expect(broken.done.length).toBeLessThanOrEqual(PREFETCH);
    expect(broken.done.length).toBeGreaterThan(0);
    expect(new Set([...numbers(broken), ...numbers(well)]).size).toBe(201);
    for (const consumer of [broken, well]) expect(consumer.count('dead-lettered')).toBe(0);
  });

  test('a breaker that opens and closes again and again costs neither an event nor the order of a key', async () => {
    const [domain, group] = [uniqueWord('breaker'), uniqueWord('group')];
    const name = `${domain}.order.placed`;
    const transport = await open();
    let isAway = false;
    const handler: TestHandler = { group, patterns: [name], concurrency: CONCURRENCY, retry: waiting(20) };
    const consumer = await transport.consume({ ...handler, handle: () => (isAway ? away() : sleep(1)) });
    const published = transport.publishMany(name, 2_000, (n) => ({ key: `k${n % 20}` }));
    const flapping = setInterval(() => (isAway = !isAway), 60);
    try {
      await consumer.handled(2_000, { deadlineMs: 60_000 });
    } finally {
      clearInterval(flapping);
    }
    await published;

    expect(
      consumer.activities.filter((each) => each.type === 'breaker' && each.state === 'open').length,
    ).toBeGreaterThan(3);
    expect(consumer.count('dead-lettered')).toBe(0);
    for (let key = 0; key < 20; key++) {
      const ofKey = numbers(consumer).filter((n) => n % 20 === key);
      expect(ofKey).toEqual(Array.from({ length: 100 }, (_, index) => index * 20 + key));
    }
  }, 90_000);
});

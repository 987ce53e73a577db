import { expect, test } from '@jest/globals';
import { eventually } from '../../support/eventually.js';
import type { Call } from '../../support/test-consumer.js';
import { uniqueWord } from '../../support/unique.js';
import type { ConformanceSuite } from '../conformance-suite.js';

const LONG_RETRY = {
  attempts: 4,
  backoff: { type: 'fixed', initialMs: 600_000, maxMs: 600_000, jitter: false },
} as const;

export function retries({ open }: ConformanceSuite): void {
  test('a failing handler is tried four times, with longer waits each time', async () => {
    const [domain, group] = [uniqueWord('retry'), uniqueWord('group')];
    const backoff = { type: 'exponential', initialMs: 40, maxMs: 10_000, jitter: true } as const;
    const transport = await open();
    const consumer = await transport.consume({
      group,
      patterns: [`${domain}.order.placed`],
      retry: { attempts: 4, backoff },
      handle: () => Promise.reject(new Error('it never works')),
    });

    await transport.publish(`${domain}.order.placed`, { n: 0 }, { key: 'bad' });

    await eventually(() => consumer.count('dead-lettered') === 1, { what: 'the dead letter' });
    expect(consumer.calls.map(({ attempt }) => attempt.attempt)).toEqual([1, 2, 3, 4]);
    expect(consumer.count('retried')).toBe(3);
    const starts = consumer.calls.map(({ startedAt }) => startedAt);
    const waits = starts.slice(1).map((start, index) => start - (starts[index] ?? 0));
    // Timers may fire a millisecond early by another clock.
    for (const [index, least] of [40, 80, 160].entries()) expect(waits[index]).toBeGreaterThanOrEqual(least - 2);
  });

  test('while something the handler needs is away, one event at a time tries; no attempt is used up and nothing overtakes', async () => {
    const [domain, group] = [uniqueWord('away'), uniqueWord('group')];
    const backoff = { type: 'fixed', initialMs: 50, maxMs: 50, jitter: false } as const;
    let away = true;
    const handler = {
      group,
      concurrency: 5,
      patterns: [`${domain}.order.placed`],
      retry: { attempts: 1, breaker: { backoff } },
      handle: () => {
        if (away) throw Object.assign(new Error('away'), { code: 'ECONNREFUSED' });
      },
    };
    const transport = await open();
    const consumer = await transport.consume(handler);
    const states = (): string[] =>
      consumer.activities.flatMap((activity) => (activity.type === 'breaker' ? [activity.state] : []));

    await transport.publish(`${domain}.order.placed`, { n: -1 }, { key: 'first' });
    await eventually(() => consumer.count('breaker') > 0, { what: 'the breaker opens' });
    await transport.publishMany(`${domain}.order.placed`, 30, (n) => ({ key: `k${n % 3}` }));
    await eventually(() => states().filter((state) => state === 'open').length >= 4, { what: 'three tries' });
    const opened = states().filter((state) => state === 'open').length;
    expect(consumer.calls.length).toBeLessThanOrEqual(opened + 1);
    away = false;
    await consumer.handled(31);

    expect(consumer.count('dead-lettered')).toBe(0);
    expect(new Set(consumer.calls.map(({ attempt }) => attempt.attempt))).toEqual(new Set([1]));
    expect(states().at(-1)).toBe('closed');
    for (let key = 0; key < 3; key++) {
      const numbers = consumer.done.map(({ envelope }) => (envelope.data as { n: number }).n);
      const ofKey = numbers.filter((n) => n >= 0 && n % 3 === key);
      expect(ofKey).toEqual(Array.from({ length: 10 }, (_, index) => index * 3 + key));
    }
  });

  test('what waits for an open breaker is given back at the end, and nobody waits for it', async () => {
    const [domain, group] = [uniqueWord('away'), uniqueWord('group')];
    const backoff = { type: 'fixed', initialMs: 600_000, maxMs: 600_000, jitter: false } as const;
    const handler = {
      group,
      patterns: [`${domain}.order.placed`],
      retry: { breaker: { backoff } },
      handle: () => {
        throw Object.assign(new Error('away'), { code: 'ECONNREFUSED' });
      },
    };
    const transport = await open();
    const consumer = await transport.consume(handler);
    await transport.publishMany(`${domain}.order.placed`, 20, (n) => ({ key: `k${n}` }));
    await eventually(() => consumer.count('breaker') > 0, { what: 'the breaker opens' });
    expect(await consumer.close()).toBe(0);
    expect(await transport.deadLetters(handler)).toEqual([]);

    const next = await transport.consume({ ...handler, handle: () => undefined });
    await next.handled(20);
  });

  test('a handler that recovers is done; no dead letter is written', async () => {
    const [domain, group] = [uniqueWord('recovers'), uniqueWord('group')];
    const handler = {
      group,
      patterns: [`${domain}.order.placed`],
      handle: ({ attempt }: Call) => {
        if (attempt.attempt < 3) throw new Error('not yet');
      },
    };
    const transport = await open();
    const consumer = await transport.consume(handler);

    await transport.publish(`${domain}.order.placed`, { n: 0 });

    await consumer.handled(1);
    await consumer.close();
    expect(consumer.calls).toHaveLength(3);
    expect(await transport.deadLetters(handler)).toEqual([]);
  });

  test.each([1, 10])('a parked event holds up only its own key, with a concurrency of %i', async (concurrency) => {
    const [domain, group] = [uniqueWord('parked'), uniqueWord('group')];
    const transport = await open();
    const consumer = await transport.consume({
      group,
      concurrency,
      patterns: [`${domain}.order.placed`],
      retry: LONG_RETRY,
      handle: ({ envelope }) => {
        if (envelope.key === 'bad') throw new Error('it never works');
      },
    });

    await transport.publish(`${domain}.order.placed`, { n: -1 }, { key: 'bad' });
    await eventually(() => consumer.count('retried') === 1, { what: 'the first failure' });
    await transport.publish(`${domain}.order.placed`, { n: -2 }, { key: 'bad' });
    await transport.publishMany(`${domain}.order.placed`, 60, (n) => ({ key: `good-${n % 20}` }));

    await consumer.handled(60);
    expect(consumer.calls.filter(({ envelope }) => envelope.key === 'bad')).toHaveLength(1);
  });

  test('what follows a failing event of its key is handled after it, in order', async () => {
    const [domain, group] = [uniqueWord('after'), uniqueWord('group')];
    const transport = await open();
    const consumer = await transport.consume({
      group,
      patterns: [`${domain}.order.changed`],
      handle: ({ envelope }) => {
        if ((envelope.data as { n: number }).n === 0) throw new Error('it never works');
      },
    });

    for (let n = 0; n < 4; n++) await transport.publish(`${domain}.order.changed`, { n }, { key: 'one' });

    await consumer.handled(3);
    const seen = consumer.calls.map(({ envelope }) => (envelope.data as { n: number }).n);
    expect(seen).toEqual([0, 0, 0, 0, 1, 2, 3]);
  });

  test('a broken dependency uses up no attempts', async () => {
    const [domain, group] = [uniqueWord('dependency'), uniqueWord('group')];
    const transport = await open();
    const consumer = await transport.consume({
      group,
      patterns: [`${domain}.order.placed`],
      retry: { ...LONG_RETRY, attempts: 1 },
      handle: ({ attempt }) => {
        if (attempt.dependencyFailures < 2) throw Object.assign(new Error('away'), { code: 'ECONNREFUSED' });
      },
    });

    await transport.publish(`${domain}.order.placed`, { n: 0 });

    await consumer.handled(1);
    expect(consumer.calls.map(({ attempt }) => attempt.attempt)).toEqual([1, 1, 1]);
    expect(consumer.count('dead-lettered')).toBe(0);
  });
}

import { expect, test } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, Gate } from '../../support/eventually.js';
import type { Call } from '../../support/test-consumer.js';
import { uniqueWord } from '../../support/unique.js';
import type { ConformanceSuite } from '../conformance-suite.js';

export function closing({ open }: ConformanceSuite): void {
  test('reopened, it goes on where it stopped', async () => {
    const [domain, group] = [uniqueWord('reopen'), uniqueWord('group')];
    const handler = { group, patterns: [`${domain}.order.placed`] };
    const publisher = await open();
    const transport = await open();
    const before = await transport.consume(handler);
    await publisher.publishMany(`${domain}.order.placed`, 50, (n) => ({ key: `key-${n % 5}` }));
    await before.handled(50);
    await transport.close();
    const missed = await publisher.publishMany(`${domain}.order.placed`, 50, (n) => ({ key: `key-${n % 5}` }));

    const after = await (await open()).consume(handler);

    await after.handled(50);
    expect(after.calls.map(({ envelope }) => envelope.id).sort()).toEqual(missed.map(({ id }) => id).sort());
  });

  test('nothing is acknowledged before its outcome: what ran past the deadline is delivered again', async () => {
    const [domain, group] = [uniqueWord('unsettled'), uniqueWord('group')];
    const handler = { group, patterns: [`${domain}.order.placed`] };
    const gate = new Gate();
    const transport = await open();
    const hung = await transport.consume({
      ...handler,
      concurrency: 3,
      handle: ({ envelope }) => (envelope.key === 'quick' ? undefined : gate.passed),
    });
    await transport.publishMany(`${domain}.order.placed`, 10, (n) => ({ key: `key-${n}` }));
    await transport.publish(`${domain}.order.placed`, { n: 10 }, { key: 'key-0' });
    await eventually(() => hung.calls.length === 3, { what: 'three running handlers' });

    expect(await hung.close(50)).toBe(1);
    expect(hung.calls.every(({ attempt }) => attempt.signal.aborted)).toBe(true);
    await transport.close();
    const again = await (await open()).consume(handler);

    await again.handled(11);
    expect(again.ids.size).toBe(11);
    // What finishes late must not disturb those that took over.
    gate.open();
    await eventually(() => hung.done.length === 3);
    expect(again.calls).toHaveLength(11);
  });

  test('closing waits for what runs, and what it finished does not come again', async () => {
    const [domain, group] = [uniqueWord('drain'), uniqueWord('group')];
    const handler = { group, patterns: [`${domain}.order.placed`] };
    const gate = new Gate();
    const transport = await open();
    const consumer = await transport.consume({ ...handler, concurrency: 4, handle: () => gate.passed });
    const published = await transport.publishMany(`${domain}.order.placed`, 30, (n) => ({ key: `key-${n}` }));
    await eventually(() => consumer.calls.length === 4, { what: 'four running handlers' });

    const closed = consumer.close();
    gate.open();

    expect(await closed).toBe(0);
    expect(consumer.done).toHaveLength(4);
    const rest = await (await open()).consume(handler);
    await rest.handled(26);
    expect([...consumer.ids, ...rest.calls.map(({ envelope }) => envelope.id)].sort()).toEqual(
      published.map(({ id }) => id).sort(),
    );
  });

  test('closing during load loses nothing', async () => {
    const [domain, group] = [uniqueWord('load'), uniqueWord('group')];
    const handler = { group, patterns: [`${domain}.order.placed`], handle: () => sleep(Math.random() * 4) };
    const publisher = await open();
    await publisher.declare(handler);
    const ids = new Set<string>();
    const publishing = (async () => {
      for (let n = 0; n < 600; n += 20) {
        const batch = Array.from({ length: 20 }, (_, b) =>
          publisher.publish(`${domain}.order.placed`, { n: n + b }, { key: `key-${b}` }),
        );
        for (const { id } of await Promise.all(batch)) ids.add(id);
        await sleep(5);
      }
    })();
    const handled = new Set<string>();
    for (let round = 1; round <= 3; round++) {
      const transport = await open();
      const consumer = await transport.consume(handler);
      await consumer.handled(Math.min(100 * round, 600 - handled.size));
      await transport.close();
      for (const id of consumer.ids) handled.add(id);
      if (handled.size === 600) break;
    }
    await publishing;

    const last = await (await open()).consume(handler);

    await eventually(() => new Set([...handled, ...last.ids]).size === 600, { what: '600 events' });
    expect(new Set([...handled, ...last.ids])).toEqual(ids);
  });

  test('a parked event is given back when its consumer closes', async () => {
    const [domain, group] = [uniqueWord('given-back'), uniqueWord('group')];
    const handler = { group, patterns: [`${domain}.order.placed`] };
    const retry = {
      attempts: 4,
      backoff: { type: 'fixed', initialMs: 600_000, maxMs: 600_000, jitter: false },
    } as const;
    const handle = (): never => {
      throw new Error('not now');
    };
    const transport = await open();
    const parked = await transport.consume({ ...handler, retry, handle });
    for (let n = 0; n < 3; n++) await transport.publish(`${domain}.order.placed`, { n }, { key: 'one' });
    await eventually(() => parked.count('retried') === 1, { what: 'the first failure' });

    expect(await parked.close(5_000)).toBe(0);
    const again = await (await open()).consume(handler);

    await again.handled(3);
    expect(again.data).toEqual([{ n: 0 }, { n: 1 }, { n: 2 }]);
  });

  test('ten consumers close and open at once', async () => {
    const domain = uniqueWord('ten');
    const groups = Array.from({ length: 10 }, () => uniqueWord('group'));
    const publisher = await open();
    const start = (): Promise<{ received: () => Call[]; close: () => Promise<void> }[]> =>
      Promise.all(
        groups.map(async (group) => {
          const transport = await open();
          const consumer = await transport.consume({ group, patterns: [`${domain}.order.placed`] });
          return { received: () => consumer.done, close: () => transport.close() };
        }),
      );

    const first = await start();
    await publisher.publishMany(`${domain}.order.placed`, 10);
    await eventually(() => first.every(({ received }) => received().length === 10), { what: 'the first ten' });
    await Promise.all(first.map(({ close }) => close()));
    await publisher.publishMany(`${domain}.order.placed`, 10);
    const second = await start();

    await eventually(() => second.every(({ received }) => received().length === 10), { what: 'the second ten' });
    for (const { received } of second) expect(received()).toHaveLength(10);
  });

  test('publishing after close is refused by name', async () => {
    const transport = await open();
    await transport.close();
    await expect(transport.publish(`${uniqueWord('closed')}.order.placed`, null)).rejects.toMatchObject({
      code: 'EVENTS_TRANSPORT_CLOSED',
    });
  });
}

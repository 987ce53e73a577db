import { expect, test } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { uniqueWord } from '../../support/unique.js';
import { eventually } from '../../support/eventually.js';
import type { ConformanceSuite } from '../conformance-suite.js';

export function groups({ open, harness }: ConformanceSuite): void {
  test('two groups each get every event', async () => {
    const domain = uniqueWord('groups');
    const transport = await open();
    const patterns = [`${domain}.order.placed`];
    const [emails, analytics] = await Promise.all([
      transport.consume({ group: uniqueWord('emails'), patterns }),
      transport.consume({ group: uniqueWord('analytics'), patterns }),
    ]);

    const published = await transport.publishMany(`${domain}.order.placed`, 50, (n) => ({ key: `${n}` }));

    await Promise.all([emails.handled(50), analytics.handled(50)]);
    const ids = published.map(({ id }) => id).sort();
    for (const consumer of [emails, analytics]) {
      expect(consumer.calls.map(({ envelope }) => envelope.id).sort()).toEqual(ids);
    }
  });

  test('two handlers of one group each get every event that matches them', async () => {
    const [domain, group] = [uniqueWord('handlers'), uniqueWord('group')];
    const transport = await open();
    const consumer = await transport.consume(
      { group, id: 'placed', patterns: [`${domain}.order.placed`] },
      { group, id: 'all', patterns: [`${domain}.order.placed`, `${domain}.order.*`] },
    );

    await transport.publishMany(`${domain}.order.placed`, 20);
    await transport.publishMany(`${domain}.order.paid`, 10);

    await eventually(() => consumer.of('placed').length >= 20 && consumer.of('all').length >= 30);
    expect(consumer.of('placed').every(({ envelope }) => envelope.name === `${domain}.order.placed`)).toBe(true);
    expect(new Set(consumer.of('all').map(({ envelope }) => envelope.id)).size).toBe(30);
    expect(consumer.calls).toHaveLength(50);
  });

  test('instances of one group share the events: each event once', async () => {
    const [domain, group] = [uniqueWord('shared'), uniqueWord('group')];
    const handler = { group, patterns: [`${domain}.order.placed`], handle: () => sleep(1) };
    const instances = await Promise.all([open(), open()]);
    const consumers = await Promise.all(instances.map((instance) => instance.consume(handler)));
    const handled = (): string[] => consumers.flatMap((consumer) => consumer.done.map(({ envelope }) => envelope.id));

    const published: string[] = [];
    // Until both take part: a broker may need a moment to share the work out anew.
    await eventually(
      async () => {
        const more = await instances[0]?.publishMany(`${domain}.order.placed`, 60, (n) => ({ key: `key-${n}` }));
        published.push(...(more ?? []).map(({ id }) => id));
        return eventually(
          () => handled().length >= published.length && consumers.every(({ done }) => done.length > 0),
          {
            deadlineMs: 1_000,
          },
        );
      },
      { what: 'work for both instances' },
    );

    await eventually(() => new Set(handled()).size === published.length);
    expect(handled().sort()).toEqual(published.sort());
  });

  if (harness.capabilities.orderAcrossInstances) {
    test('order per key holds across the instances of a group', async () => {
      const [domain, group] = [uniqueWord('across'), uniqueWord('group')];
      const instances = await Promise.all([open(), open()]);
      const seen = new Map<string, number[]>();
      const running = new Set<string>();
      const overlaps: string[] = [];
      const handler = {
        group,
        patterns: [`${domain}.order.changed`],
        handle: async ({ envelope }: { envelope: { key?: string; data: unknown } }) => {
          const key = envelope.key ?? '';
          if (running.has(key)) overlaps.push(key);
          running.add(key);
          await sleep(Math.random() * 4);
          running.delete(key);
          seen.set(key, [...(seen.get(key) ?? []), (envelope.data as { n: number }).n]);
        },
      };
      const consumers = await Promise.all(instances.map((instance) => instance.consume(handler)));
      const [publisher] = instances;
      const one = async (key: string): Promise<void> => {
        for (let n = 0; n < 15; n++) await publisher?.publish(`${domain}.order.changed`, { n }, { key });
      };
      await Promise.all(Array.from({ length: 12 }, (_, k) => one(`key-${k}`)));

      await eventually(() => consumers.flatMap(({ done }) => done).length >= 180);
      expect(overlaps).toEqual([]);
      for (const order of seen.values()) expect(order).toEqual(Array.from({ length: 15 }, (_, n) => n));
    });
  }
}

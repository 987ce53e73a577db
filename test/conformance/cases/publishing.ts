import { expect, test } from '@jest/globals';
import { uniqueWord } from '../../support/unique.js';
import type { ConformanceSuite } from '../conformance-suite.js';

export function publishing({ open }: ConformanceSuite): void {
  test('1,000 published events are handled, each once', async () => {
    const [domain, group] = [uniqueWord('many'), uniqueWord('group')];
    const transport = await open();
    const consumer = await transport.consume({ group, patterns: [`${domain}.order.placed`] });

    const published = await transport.publishMany(`${domain}.order.placed`, 1_000, (n) => ({ key: `key-${n % 50}` }));

    await consumer.handled(1_000);
    expect(consumer.ids).toEqual(new Set(published.map(({ id }) => id)));
    expect(consumer.calls).toHaveLength(1_000);
  });

  test('50 publishers at once lose nothing', async () => {
    const [domain, group] = [uniqueWord('publishers'), uniqueWord('group')];
    const transport = await open();
    const consumer = await transport.consume({ group, patterns: [`${domain}.order.placed`] });

    const publisher = async (p: number): Promise<string[]> => {
      const ids: string[] = [];
      for (let n = 0; n < 10; n++) ids.push((await transport.publish(`${domain}.order.placed`, { p, n })).id);
      return ids;
    };
    const ids = await Promise.all(Array.from({ length: 50 }, (_, p) => publisher(p)));

    await consumer.handled(500);
    expect(consumer.ids).toEqual(new Set(ids.flat()));
  });

  test('what was published arrives as it was: attributes, data and key', async () => {
    const [domain, group] = [uniqueWord('attributes'), uniqueWord('group')];
    const transport = await open();
    const consumer = await transport.consume({ group, patterns: [`${domain}.order.placed`] });

    const envelope = await transport.publish(
      `${domain}.order.placed`,
      { total: 12.5, lines: [{ sku: 'a', quantity: 2 }], note: null },
      {
        id: 'an id of the publisher’s own: ☃',
        source: 'shop/checkout',
        time: '2024-02-29T23:59:59.123Z',
        key: 'user-1',
        subject: 'order-1',
        dataschema: 'https://example.org/order/1',
        correlationId: 'story-1',
        causationId: 'cause-1',
        traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
        tracestate: 'vendor=1',
      },
    );

    const [call] = await consumer.handled(1);
    expect({ ...call?.envelope, headers: {} }).toEqual({ ...envelope, headers: {} });
    expect(Object.keys(call?.envelope.headers ?? {})).toEqual([]);
  });

  test('events published between declare() and consume() wait for their handler', async () => {
    const [domain, group] = [uniqueWord('declared'), uniqueWord('group')];
    const transport = await open();
    const handler = { group, patterns: [`${domain}.order.placed`] };
    await transport.declare(handler);
    const published = await transport.publishMany(`${domain}.order.placed`, 20);

    const consumer = await transport.consume(handler);

    await consumer.handled(20);
    expect(consumer.ids).toEqual(new Set(published.map(({ id }) => id)));
  });

  test('an event that nobody handles is published all the same', async () => {
    const transport = await open();
    await transport.publish(`${uniqueWord('nobody')}.order.placed`, { n: 0 });
  });
}

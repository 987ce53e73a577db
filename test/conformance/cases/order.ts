import { expect, test } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, Gate } from '../../support/eventually.js';
import type { Call } from '../../support/test-consumer.js';
import { uniqueWord } from '../../support/unique.js';
import type { ConformanceSuite } from '../conformance-suite.js';

const KEYS = 20;
const EVENTS_PER_KEY = 20;

export function order({ open }: ConformanceSuite): void {
  test('events of one key are handled in order, one at a time, while other keys run beside them', async () => {
    const [domain, group] = [uniqueWord('order'), uniqueWord('group')];
    const running = new Map<string, number>();
    let mostAtOnce = 0;
    const overlaps: string[] = [];
    const handle = async ({ envelope }: Call): Promise<void> => {
      const key = envelope.key ?? '';
      if (running.has(key)) overlaps.push(key);
      running.set(key, 1);
      mostAtOnce = Math.max(mostAtOnce, running.size);
      await sleep(Math.random() * 5);
      running.delete(key);
    };
    const transport = await open();
    const consumer = await transport.consume({ group, patterns: [`${domain}.order.changed`], handle });

    const publishKey = async (key: string): Promise<void> => {
      for (let n = 0; n < EVENTS_PER_KEY; n++) await transport.publish(`${domain}.order.changed`, { n }, { key });
    };
    await Promise.all(Array.from({ length: KEYS }, (_, k) => publishKey(`key-${k}`)));

    const calls = await consumer.handled(KEYS * EVENTS_PER_KEY);
    expect(overlaps).toEqual([]);
    expect(mostAtOnce).toBeGreaterThan(1);
    expect(mostAtOnce).toBeLessThanOrEqual(10);
    for (let k = 0; k < KEYS; k++) {
      const ofKey = calls.filter(({ envelope }) => envelope.key === `key-${k}`);
      expect(ofKey.map(({ envelope }) => envelope.data)).toEqual(
        Array.from({ length: EVENTS_PER_KEY }, (_, n) => ({ n })),
      );
    }
  });

  test('events without a key run side by side, up to the concurrency', async () => {
    const [domain, group] = [uniqueWord('keyless'), uniqueWord('group')];
    const gate = new Gate();
    const transport = await open();
    const consumer = await transport.consume({
      group,
      patterns: [`${domain}.order.placed`],
      concurrency: 5,
      handle: () => gate.passed,
    });

    await transport.publishMany(`${domain}.order.placed`, 12);

    await eventually(() => consumer.calls.length >= 5, { what: 'five handlers at once' });
    expect(consumer.calls).toHaveLength(5);
    gate.open();
    await consumer.handled(12);
  });

  test('a handler without order runs events of one key side by side', async () => {
    const [domain, group] = [uniqueWord('unordered'), uniqueWord('group')];
    const gate = new Gate();
    const transport = await open();
    const consumer = await transport.consume({
      group,
      patterns: [`${domain}.order.placed`],
      ordering: 'none',
      handle: () => gate.passed,
    });

    await transport.publishMany(`${domain}.order.placed`, 6, () => ({ key: 'one' }));

    await eventually(() => consumer.calls.length === 6, { what: 'six handlers at once' });
    gate.open();
    await consumer.handled(6);
  });

  test('a slow handler does not hold up another handler of its group', async () => {
    const [domain, group] = [uniqueWord('slow'), uniqueWord('group')];
    const gate = new Gate();
    const transport = await open();
    const consumer = await transport.consume(
      { group, id: 'slow', patterns: [`${domain}.order.placed`], handle: () => gate.passed },
      { group, id: 'fast', patterns: [`${domain}.order.placed`] },
    );

    await transport.publishMany(`${domain}.order.placed`, 40);

    await eventually(() => consumer.of('fast').length === 40, { what: 'the fast handler' });
    expect(consumer.of('slow')).toHaveLength(10);
    gate.open();
    await eventually(() => consumer.of('slow').length === 40);
  });

  test('what can be in flight is in flight and nothing gets on: that is told, and when it goes on', async () => {
    const [domain, group] = [uniqueWord('full'), uniqueWord('group')];
    const transport = await open({ window: { maxDeliveries: 8, maxBytes: 1_000_000 } });
    const gate = new Gate();
    const consumer = await transport.consume({
      group,
      patterns: [`${domain}.order.placed`],
      handle: () => gate.passed,
    });
    const told = (): string[] =>
      transport.activities.flatMap((activity) =>
        activity.type === 'intake-paused' || activity.type === 'intake-resumed'
          ? [
              `${activity.type} ${activity.transport} ${activity.group} ${activity.place.includes(domain) || activity.place.includes(group)}`,
            ]
          : [],
      );

    // One key: on Kafka one partition. More than any transport takes at once by default.
    await transport.publishMany(`${domain}.order.placed`, 150, () => ({ key: 'one' }));
    await eventually(() => told().length > 0, { what: 'intake pauses' });
    gate.open();
    await consumer.handled(150);

    await eventually(() => told().at(-1)?.startsWith('intake-resumed') === true, { what: 'intake goes on' });
    const { name } = transport.transport;
    expect(told().slice(0, 2)).toEqual([`intake-paused ${name} ${group} true`, `intake-resumed ${name} ${group} true`]);
  });

  test('no more than the window is in flight, and everything is handled', async () => {
    const [domain, group] = [uniqueWord('window'), uniqueWord('group')];
    const transport = await open({ window: { maxDeliveries: 8, maxBytes: 1_000_000 } });
    const consumer = await transport.consume({ group, patterns: [`${domain}.order.placed`], handle: () => sleep(1) });

    await transport.publishMany(`${domain}.order.placed`, 200, (n) => ({ key: `key-${n % 7}` }));

    await consumer.handled(200);
    expect(consumer.calls).toHaveLength(200);
  });
}

import { afterEach, expect, test } from '@jest/globals';
import { eventually } from '../../support/eventually.js';
import { OtherProcess, type OtherProcessTask } from '../../support/other-process.js';
import { uniqueWord } from '../../support/unique.js';
import type { ConformanceSuite } from '../conformance-suite.js';

/** For transports whose confirmed events survive a process. */
export function killed({ open, harness }: ConformanceSuite): void {
  const started: OtherProcess[] = [];
  afterEach(async () => {
    await Promise.all(started.splice(0).map((each) => each.kill()));
  });

  const inAnotherProcess = async (task: Omit<OtherProcessTask, 'transport'>): Promise<OtherProcess> => {
    const { inAnotherProcess: transport } = harness;
    if (transport === undefined) throw new Error('a durable transport needs `inAnotherProcess` in its harness');
    const other = await OtherProcess.start({ transport, ...task });
    started.push(other);
    return other;
  };

  test('what a process had not settled when it was killed is delivered again', async () => {
    const [domain, group] = [uniqueWord('killed'), uniqueWord('group')];
    const patterns = [`${domain}.order.placed`];
    const publisher = await open();
    const other = await inAnotherProcess({ consume: { group, patterns } });
    const handled = await publisher.publishMany(`${domain}.order.placed`, 20);
    await other.reaches(() => other.ids('handled').size === 20, '20 handled events');
    const hanging = await Promise.all(
      Array.from({ length: 5 }, (_, n) =>
        publisher.publish(`${domain}.order.placed`, { hang: true, n }, { key: `key-${n}` }),
      ),
    );
    await other.reaches(() => other.ids('started').size === 25, 'five running handlers');
    const waiting = await publisher.publishMany(`${domain}.order.placed`, 30, (n) => ({ key: `key-${n % 5}` }));

    await other.kill();
    const survivor = await publisher.consume({ group, patterns });

    const unsettled = [...hanging, ...waiting].map(({ id }) => id);
    await eventually(() => unsettled.every((id) => survivor.ids.has(id)), {
      what: 'every unsettled event',
      deadlineMs: 40_000,
    });
    const known = new Set([...handled.map(({ id }) => id), ...unsettled]);
    expect([...survivor.ids].filter((id) => !known.has(id))).toEqual([]);
    const hung = hanging.map(({ id }) => survivor.calls.find(({ envelope }) => envelope.id === id));
    for (const call of hung) expect(call?.attempt.attempt).toBe(1);
  });

  test('a batch that was running when its process was killed is delivered again, whole', async () => {
    const [domain, group] = [uniqueWord('killed-batch'), uniqueWord('group')];
    const patterns = [`${domain}.page.viewed`];
    const publisher = await open();
    const other = await inAnotherProcess({ consume: { group, patterns, batch: { size: 10, waitMs: 60_000 } } });
    const handled = await publisher.publishMany(`${domain}.page.viewed`, 10);
    await other.reaches(() => other.ids('handled').size === 10, 'a handled batch');
    const running = await Promise.all(
      Array.from({ length: 10 }, (_, n) => publisher.publish(`${domain}.page.viewed`, { hang: n === 5 })),
    );
    await other.reaches(() => other.ids('started').size === 20, 'a batch that runs');
    expect(other.ids('handled').size).toBe(10);
    const waiting = await publisher.publishMany(`${domain}.page.viewed`, 5);

    await other.kill();
    const survivor = await publisher.consume({ group, patterns, batch: { size: 10, waitMs: 50 } });

    const unsettled = [...running, ...waiting].map(({ id }) => id);
    await eventually(() => unsettled.every((id) => survivor.ids.has(id)), {
      what: 'every unsettled event',
      deadlineMs: 40_000,
    });
    const known = new Set([...handled.map(({ id }) => id), ...unsettled]);
    expect([...survivor.ids].filter((id) => !known.has(id))).toEqual([]);
  });

  test('what a process had published when it was killed is not lost', async () => {
    const [domain, group] = [uniqueWord('publisher-killed'), uniqueWord('group')];
    const handler = { group, patterns: [`${domain}.order.placed`] };
    const transport = await open();
    await transport.declare(handler);
    const other = await inAnotherProcess({ publish: { name: `${domain}.order.placed` } });
    await other.reaches(() => other.ids('published').size >= 100, '100 confirmed events');

    await other.kill();
    const consumer = await transport.consume(handler);

    const confirmed = [...other.ids('published')];
    await eventually(() => confirmed.every((id) => consumer.ids.has(id)), { what: 'every confirmed event' });
  });
}

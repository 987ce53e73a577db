import { expect, test } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { BatchError } from '../../../lib/core/batch-error.js';
import { eventually, Gate } from '../../support/eventually.js';
import type { BatchCall } from '../../support/test-consumer.js';
import { uniqueWord } from '../../support/unique.js';
import type { ConformanceSuite } from '../conformance-suite.js';

/** Longer than any test: such a batch starts when it is full. */
const UNTIL_FULL_MS = 60_000;

const numbersOf = ({ envelopes }: BatchCall): number[] => envelopes.map(({ data }) => (data as { n: number }).n);

/** As a transaction does: what a run adds counts when it does not throw. */
class Effects {
  readonly numbers: number[] = [];

  /** Throws for a batch with one of these in it. */
  failingFor(...bad: number[]) {
    return (call: BatchCall): void => {
      if (numbersOf(call).some((n) => bad.includes(n))) throw new RangeError('it never works');
      this.numbers.push(...numbersOf(call));
    };
  }

  sorted(): number[] {
    return this.numbers.toSorted((a, b) => a - b);
  }
}

const range = (count: number, from = 0): number[] => Array.from({ length: count }, (_, n) => from + n);

export function batches({ open, harness }: ConformanceSuite): void {
  test('a batch handler gets events in batches, each once, never more than a batch or so many batches at a time', async () => {
    const [domain, group] = [uniqueWord('batches'), uniqueWord('group')];
    let running = 0;
    let mostAtOnce = 0;
    const handler = {
      group,
      patterns: [`${domain}.page.viewed`],
      concurrency: 3,
      batch: { size: 25, waitMs: 50 },
      handleBatch: async () => {
        mostAtOnce = Math.max(mostAtOnce, ++running);
        await sleep(2);
        running--;
      },
    };
    const transport = await open();
    await transport.declare(handler);
    await transport.publishMany(`${domain}.page.viewed`, 400);

    const consumer = await transport.consume(handler);

    await consumer.handled(400);
    const sizes = consumer.batches.map(({ envelopes }) => envelopes.length);
    expect(sizes.reduce((sum, size) => sum + size)).toBe(400);
    expect(Math.max(...sizes)).toBe(25);
    expect(sizes.length).toBeLessThan(100);
    expect(mostAtOnce).toBeLessThanOrEqual(3);
    await eventually(() => consumer.count('handled') === 400);
  });

  test('events of one key keep their order across batches, and are in one batch at a time', async () => {
    const [domain, group] = [uniqueWord('batch-order'), uniqueWord('group')];
    const [keys, perKey] = [8, 40];
    const running = new Set<string>();
    const overlaps: string[] = [];
    const seen = new Map<string, number[]>();
    const transport = await open();
    const consumer = await transport.consume({
      group,
      patterns: [`${domain}.page.viewed`],
      batch: { size: 10, waitMs: 5 },
      handleBatch: async ({ envelopes }) => {
        const inBatch = new Set(envelopes.map(({ key }) => key ?? ''));
        for (const key of inBatch) if (running.has(key)) overlaps.push(key);
        for (const key of inBatch) running.add(key);
        await sleep(Math.random() * 5);
        for (const { key = '', data } of envelopes)
          seen.set(key, [...(seen.get(key) ?? []), (data as { n: number }).n]);
        for (const key of inBatch) running.delete(key);
      },
    });

    const publishKey = async (key: string): Promise<void> => {
      for (let n = 0; n < perKey; n++) await transport.publish(`${domain}.page.viewed`, { n }, { key });
    };
    await Promise.all(Array.from({ length: keys }, (_, k) => publishKey(`key-${k}`)));

    await consumer.handled(keys * perKey);
    expect(overlaps).toEqual([]);
    expect(seen.size).toBe(keys);
    for (const numbers of seen.values()) expect(numbers).toEqual(range(perKey));
  });

  test('the bad event of a batch is found, tried four times and a dead letter; its neighbours are handled once', async () => {
    const [domain, group] = [uniqueWord('bad'), uniqueWord('group')];
    const effects = new Effects();
    const handler = {
      group,
      patterns: [`${domain}.page.viewed`],
      batch: { size: 20, waitMs: UNTIL_FULL_MS },
      handleBatch: effects.failingFor(13),
    };
    const transport = await open();
    const consumer = await transport.consume(handler);

    const published = await transport.publishMany(`${domain}.page.viewed`, 20, (n) => ({ key: `key-${n}` }));

    await eventually(() => consumer.count('dead-lettered') === 1, { what: 'the dead letter' });
    await consumer.handled(19);
    expect(numbersOf(consumer.batches[0] as BatchCall)).toHaveLength(20);
    expect(effects.sorted()).toEqual(range(20).filter((n) => n !== 13));
    const letters = await transport.deadLetters(handler);
    expect(letters).toMatchObject([{ eventId: published[13]?.id, attempts: 4, error: { message: 'it never works' } }]);
  });

  test('what follows the bad event in its key is handled after it, in order', async () => {
    const [domain, group] = [uniqueWord('behind'), uniqueWord('group')];
    const effects = new Effects();
    const transport = await open();
    const consumer = await transport.consume({
      group,
      patterns: [`${domain}.page.viewed`],
      batch: { size: 6, waitMs: 20 },
      handleBatch: effects.failingFor(2),
    });

    for (let n = 0; n < 10; n++) await transport.publish(`${domain}.page.viewed`, { n }, { key: 'one' });

    await consumer.handled(9);
    expect(effects.numbers).toEqual([0, 1, 3, 4, 5, 6, 7, 8, 9]);
    const ended = consumer.activities.filter(({ type }) => type === 'handled' || type === 'dead-lettered');
    expect(ended.findIndex(({ type }) => type === 'dead-lettered')).toBe(2);
  });

  test('a handler that says which events are bad has the others at once; the bad ones have their own errors and attempts', async () => {
    const [domain, group] = [uniqueWord('named'), uniqueWord('group')];
    const effects = new Effects();
    const bad = [3, 8];
    const handler = {
      group,
      patterns: [`${domain}.page.viewed`],
      batch: { size: 12, waitMs: UNTIL_FULL_MS },
      handleBatch: (call: BatchCall) => {
        const failures = numbersOf(call).flatMap((n, index) =>
          bad.includes(n) ? [{ index, error: new Error(`number ${n}`) }] : [],
        );
        if (failures.length > 0) throw new BatchError(failures);
        effects.numbers.push(...numbersOf(call));
      },
    };
    const transport = await open();
    const consumer = await transport.consume(handler);

    await transport.publishMany(`${domain}.page.viewed`, 12, (n) => ({ key: `key-${n}` }));

    await eventually(() => consumer.count('dead-lettered') === 2, { what: 'two dead letters' });
    await consumer.handled(10);
    expect(consumer.batches.slice(0, 2).map(({ envelopes }) => envelopes.length)).toEqual([12, 10]);
    expect(effects.sorted()).toEqual(range(12).filter((n) => !bad.includes(n)));
    const letters = await transport.deadLetters(handler);
    expect(letters.map(({ error, attempts }) => [error.message, attempts]).sort()).toEqual([
      ['number 3', 4],
      ['number 8', 4],
    ]);
  });

  test('what cannot be decoded is a dead letter by itself, and no part of a batch', async () => {
    const [domain, group] = [uniqueWord('batch-bytes'), uniqueWord('group')];
    const name = `${domain}.page.viewed`;
    const handler = { group, patterns: [name], batch: { size: 4, waitMs: UNTIL_FULL_MS } };
    const transport = await open();
    const consumer = await transport.consume(handler);
    await transport.publishMany(name, 2);

    await harness.publishRaw(name, { headers: { tenant: 'acme' }, body: Buffer.from([0xff, 0x00, 0xfe, 0x7b]) });
    await eventually(() => consumer.count('dead-lettered') === 1, { what: 'the dead letter' });
    expect(consumer.batches).toEqual([]);
    await transport.publishMany(name, 2);

    await consumer.handled(4);
    expect(consumer.batches).toHaveLength(1);
    expect(await transport.deadLetters(handler)).toMatchObject([{ error: { code: 'EVENTS_UNDECODABLE' } }]);
  });

  test('a broken dependency makes the whole batch wait: nothing is split, and no attempt is used up', async () => {
    const [domain, group] = [uniqueWord('batch-dependency'), uniqueWord('group')];
    const transport = await open();
    const consumer = await transport.consume({
      group,
      patterns: [`${domain}.page.viewed`],
      batch: { size: 10, waitMs: UNTIL_FULL_MS },
      handleBatch: ({ attempt }) => {
        if (attempt.dependencyFailures < 2) throw Object.assign(new Error('away'), { code: 'ECONNREFUSED' });
      },
    });

    await transport.publishMany(`${domain}.page.viewed`, 10);

    await consumer.handled(10);
    expect(consumer.batches.map(({ envelopes, attempt }) => [envelopes.length, attempt.attempt])).toEqual([
      [10, 1],
      [10, 1],
      [10, 1],
    ]);
    expect(consumer.count('dead-lettered')).toBe(0);
  });

  test('closing does not wait for a batch to fill: its events go to who comes next', async () => {
    const [domain, group] = [uniqueWord('half-full'), uniqueWord('group')];
    const patterns = [`${domain}.page.viewed`];
    const transport = await open();
    const consumer = await transport.consume({ group, patterns, batch: { size: 100, waitMs: UNTIL_FULL_MS } });
    await transport.publishMany(`${domain}.page.viewed`, 30);

    expect(await consumer.close(10_000)).toBe(0);
    expect(consumer.batches).toEqual([]);

    const next = await (await open()).consume({ group, patterns, batch: { size: 30, waitMs: UNTIL_FULL_MS } });
    await next.handled(30);
    expect(next.batches.map(({ envelopes }) => envelopes.length)).toEqual([30]);
  });

  test('closing waits for the batch that runs, which does not come again, and loses nothing of the rest', async () => {
    const [domain, group] = [uniqueWord('batch-drain'), uniqueWord('group')];
    const gate = new Gate();
    const handler = {
      group,
      patterns: [`${domain}.page.viewed`],
      concurrency: 1,
      batch: { size: 10, waitMs: 20 },
    };
    const transport = await open();
    const consumer = await transport.consume({ ...handler, handleBatch: () => gate.passed });
    const published = await transport.publishMany(`${domain}.page.viewed`, 35, (n) => ({ key: `key-${n}` }));
    await eventually(() => consumer.batches.length === 1, { what: 'a batch that runs' });

    const closed = consumer.close();
    gate.open();

    expect(await closed).toBe(0);
    expect(consumer.batches).toHaveLength(1);
    const rest = await (await open()).consume(handler);
    await rest.handled(35 - consumer.ids.size);
    expect([...consumer.ids, ...rest.ids].sort()).toEqual(published.map(({ id }) => id).sort());
  });
}

import { expect, test } from '@jest/globals';
import { jsonSerializer, type Serializer } from '../../../lib/core/serializer.js';
import type { Transport } from '../../../lib/core/transport.js';
import { eventually } from '../../support/eventually.js';
import { uniqueWord } from '../../support/unique.js';
import type { ConformanceSuite } from '../conformance-suite.js';

const failing = (): Promise<never> => Promise.reject(new RangeError('out of stock: größer als ☃'));

export function deadLetters({ open, harness }: ConformanceSuite): void {
  test('after the last attempt the event is a dead letter, with its exact bytes, headers and key', async () => {
    const [domain, group] = [uniqueWord('dead'), uniqueWord('group')];
    const name = `${domain}.order.placed`;
    const handler = { group, id: 'stock.reserve', patterns: [name], handle: failing };
    const data = { text: 'ünïcode ☃ 🎈', list: [1, 2.5, null] };
    const transport = await open();
    const consumer = await transport.consume(handler);

    const headers = { tenant: 'acmé', bytes: Buffer.from([0, 255, 128]), list: ['a', 'b'] };
    const { id } = await transport.publish(name, data, { key: 'ключ-1', headers });

    await eventually(() => consumer.count('dead-lettered') === 1, { what: 'the dead letter' });
    const [letter, ...more] = await transport.deadLetters(handler);
    expect(more).toEqual([]);
    expect(letter).toMatchObject({
      group,
      handler: 'stock.reserve',
      event: name,
      eventId: id,
      reason: 'failed',
      attempts: 4,
    });
    expect(letter?.error).toMatchObject({ code: 'RangeError', message: 'out of stock: größer als ☃' });
    expect(letter?.error.stack).toContain('out of stock');
    expect(Buffer.from(letter?.original.body ?? []).toString()).toBe(JSON.stringify(data));
    expect(Buffer.from(letter?.original.key ?? []).toString()).toBe('ключ-1');
    expect(letter?.original.headers).toMatchObject({ tenant: 'acmé', list: ['a', 'b'] });
    expect(Buffer.from(letter?.original.headers['bytes'] as Uint8Array)).toEqual(headers.bytes);
    expect(letter?.original.place).toMatchObject({ transport: transport.transport.name });
    expect(Date.parse(letter?.firstFailureAt ?? '')).toBeLessThanOrEqual(Date.parse(letter?.lastFailureAt ?? ''));
  });

  test('reading dead letters does not remove them, and shows those of one handler', async () => {
    const [domain, group, otherGroup] = [uniqueWord('read'), uniqueWord('group'), uniqueWord('group')];
    const patterns = [`${domain}.order.placed`];
    const retry = { attempts: 1, backoff: { type: 'fixed', initialMs: 1, maxMs: 1, jitter: false } } as const;
    const [one, two] = ['one', 'two'].map((id) => ({ group, id, patterns, retry, handle: failing })) as [never, never];
    const other = { group: otherGroup, id: 'one', patterns, retry, handle: failing };
    const transport = await open();
    const consumer = await transport.consume(one, two, other);

    const published = [];
    for (let n = 0; n < 5; n++) published.push(await transport.publish(`${domain}.order.placed`, { n }, { key: 'k' }));

    await eventually(() => consumer.count('dead-lettered') === 15, { what: '15 dead letters' });
    for (const handler of [one, two, other, one]) {
      const letters = await transport.deadLetters(handler);
      expect(letters.map(({ eventId }) => eventId)).toEqual(published.map(({ id }) => id));
    }
    const { group: ofGroup } = other;
    const first = await transport.transport.readDeadLetters({ group: ofGroup, handler: 'one', limit: 2 });
    expect(first.map(({ eventId }) => eventId)).toEqual(published.slice(0, 2).map(({ id }) => id));
    expect(await transport.deadLetters({ group, id: 'nobody' })).toEqual([]);
  });

  test('input that cannot be decoded is a dead letter at once, with its bytes, and its neighbours are handled', async () => {
    const [domain, group] = [uniqueWord('undecodable'), uniqueWord('group')];
    const handler = { group, patterns: [`${domain}.order.placed`] };
    const transport = await open();
    const consumer = await transport.consume(handler);
    const foreign = Buffer.from([0xff, 0x00, 0xfe, 0x7b]);

    await transport.publishMany(`${domain}.order.placed`, 5, () => ({ key: 'k' }));
    await harness.publishRaw(`${domain}.order.placed`, { headers: { tenant: 'acme' }, body: foreign });
    await transport.publishMany(`${domain}.order.placed`, 5, () => ({ key: 'k' }));

    await consumer.handled(10);
    const [letter, ...more] = await eventually(async () => {
      const letters = await transport.deadLetters(handler);
      return letters.length > 0 && letters;
    });
    expect(more).toEqual([]);
    expect(letter).toMatchObject({ group, attempts: 1, error: { code: 'EVENTS_UNDECODABLE' } });
    expect(Buffer.from(letter?.original.body ?? [])).toEqual(foreign);
    expect(letter?.original.headers).toMatchObject({ tenant: 'acme' });
    expect(consumer.calls).toHaveLength(10);
    expect(consumer.count('retried')).toBe(0);
  });

  test('an event whose body is broken keeps its place: a dead letter, and the next of its key is handled', async () => {
    const [domain, group] = [uniqueWord('broken'), uniqueWord('group')];
    const handler = { group, patterns: [`${domain}.order.placed`] };
    const body = Buffer.from('{"total": 1');
    const broken: Serializer = { ...jsonSerializer, serialize: () => ({ body, contentType: 'application/json' }) };
    const [transport, breaking] = await Promise.all([open(), open({ serializer: broken })]);
    const consumer = await transport.consume(handler);

    await breaking.publish(`${domain}.order.placed`, null, { key: 'k' });
    await transport.publish(`${domain}.order.placed`, { n: 1 }, { key: 'k' });

    await consumer.handled(1);
    const [letter] = await eventually(async () => {
      const letters = await transport.deadLetters(handler);
      return letters.length > 0 && letters;
    });
    expect(Buffer.from(letter?.original.body ?? [])).toEqual(body);
    expect(Buffer.from(letter?.original.key ?? []).toString()).toBe('k');
  });

  test('an event whose dead letter cannot be written is not acknowledged', async () => {
    const [domain, group] = [uniqueWord('unwritten'), uniqueWord('group')];
    const handler = { group, patterns: [`${domain}.order.placed`], handle: failing };
    const transport = await open();
    const consumer = await transport.consumeThrough(withoutDeadLetters(transport.transport), [handler]);
    const { id } = await transport.publish(`${domain}.order.placed`, { n: 0 }, { key: 'k' });
    await eventually(() => consumer.count('dead-letter-failed') >= 2, { what: 'two failed writes' });
    expect(consumer.count('dead-lettered')).toBe(0);
    await consumer.close();
    expect(await transport.deadLetters(handler)).toEqual([]);

    const reopened = await (await open()).consume(handler);

    await eventually(() => reopened.count('dead-lettered') === 1, { what: 'the dead letter' });
    expect((await transport.deadLetters(handler)).map((letter) => letter.eventId)).toEqual([id]);
  });

  test('a dead letter that could not be written at first is written once that works', async () => {
    const [domain, group] = [uniqueWord('rewritten'), uniqueWord('group')];
    const handler = { group, patterns: [`${domain}.order.placed`], handle: failing };
    const transport = await open();
    const consumer = await transport.consumeThrough(withoutDeadLetters(transport.transport, 2), [handler]);

    await transport.publish(`${domain}.order.placed`, { n: 0 });

    await eventually(() => consumer.count('dead-lettered') === 1, { what: 'the dead letter' });
    expect(consumer.count('dead-letter-failed')).toBe(2);
    expect(await transport.deadLetters(handler)).toHaveLength(1);
  });
}

/** The transport, but the first writes of dead letters fail: all, or that many. */
function withoutDeadLetters(transport: Transport, times = Infinity): Transport {
  let left = times;
  const write: Transport['writeDeadLetter'] = (letter) =>
    left-- > 0 ? Promise.reject(new Error('the disk is full')) : transport.writeDeadLetter(letter);
  return new Proxy(transport, {
    get(target, property) {
      if (property === 'writeDeadLetter') return write;
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

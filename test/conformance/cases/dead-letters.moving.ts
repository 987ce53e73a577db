import { expect, test } from '@jest/globals';
import type { DeadLetter } from '../../../lib/core/dead-letter.js';
import { eventually } from '../../support/eventually.js';
import { uniqueWord } from '../../support/unique.js';
import type { Call, TestHandler } from '../../support/test-consumer.js';
import type { TestTransport } from '../../support/transport-world.js';
import type { ConformanceSuite } from '../conformance-suite.js';

const failing = (): Promise<never> => Promise.reject(new RangeError('out of stock'));
const never = new AbortController().signal;

interface Failed {
  readonly transport: TestTransport;
  readonly handler: TestHandler & { readonly id: string };
  readonly name: string;
  /** Of the events that are dead letters, in order. */
  readonly ids: readonly string[];
}

/** Taking dead letters away, collecting them elsewhere, and decoding what they keep. */
export function movingDeadLetters({ open }: ConformanceSuite): void {
  async function failed(count: number): Promise<Failed> {
    const [domain, group] = [uniqueWord('moving'), uniqueWord('group')];
    const name = `${domain}.order.placed`;
    const handler = { group, id: 'stock.reserve', patterns: [name], handle: failing, retry: { attempts: 1 } };
    const transport = await open();
    const consumer = await transport.consume(handler);
    const ids: string[] = [];
    for (let n = 0; n < count; n++) ids.push((await transport.publish(name, { n }, { key: 'k' })).id);
    await eventually(() => consumer.count('dead-lettered') === count, { what: `${count} dead letters` });
    return { transport, handler, name, ids };
  }
  const idsOf = (letters: readonly DeadLetter[]): unknown[] => letters.map(({ eventId }) => eventId);

  test('what a dead letter keeps is decoded as when it arrived', async () => {
    const [domain, group] = [uniqueWord('decode'), uniqueWord('group')];
    const name = `${domain}.order.placed`;
    const seen: unknown[] = [];
    const transport = await open();
    const handle = ({ envelope }: Call): Promise<never> => {
      seen.push(envelope);
      return failing();
    };
    const handler = { group, patterns: [name], handle, retry: { attempts: 1 } };
    const consumer = await transport.consume(handler);

    const headers = { tenant: 'acmé', bytes: Buffer.from([0, 255]), list: ['a', Buffer.from([1])] };
    await transport.publish(name, { text: 'ünïcode ☃' }, { key: 'ключ', headers });

    await eventually(() => consumer.count('dead-lettered') === 1, { what: 'the dead letter' });
    const [letter] = await transport.deadLetters(handler);
    expect(transport.transport.decode(letter!.original)).toEqual({ envelope: seen[0] });
    const garbage = { ...letter!.original, headers: {} };
    expect(transport.transport.decode(garbage)).toHaveProperty('undecodable');
  });

  test('taking removes those it is told to, in order, and leaves the others in theirs', async () => {
    const { transport, handler, ids } = await failed(6);
    const visited: unknown[] = [];
    const take = (visit: (letter: DeadLetter) => 'remove' | 'keep'): Promise<void> =>
      transport.transport.takeDeadLetters({
        ...{ group: handler.group, handler: handler.id, signal: never },
        visit: async (letter) => visit(letter),
      });

    await take((letter) => {
      visited.push(letter.eventId);
      return ids.indexOf(letter.eventId ?? '') % 2 === 0 ? 'remove' : 'keep';
    });

    const left = [ids[1], ids[3], ids[5]];
    expect(visited).toEqual(ids);
    expect(idsOf(await transport.deadLetters(handler))).toEqual(left);
    await take(() => 'keep');
    expect(idsOf(await transport.deadLetters(handler))).toEqual(left);
    await take(() => 'remove');
    expect(await transport.deadLetters(handler)).toEqual([]);
  });

  test('taking ends where it is told to, and what a visit that fails was about stays', async () => {
    const { transport, handler, ids } = await failed(3);
    const stop = new AbortController();
    const about = { group: handler.group, handler: handler.id };
    await transport.transport.takeDeadLetters({
      ...about,
      signal: stop.signal,
      visit: async () => {
        stop.abort();
        return 'remove';
      },
    });
    expect(idsOf(await transport.deadLetters(handler))).toEqual(ids.slice(1));

    const taking = transport.transport.takeDeadLetters({ ...about, signal: never, visit: failing });
    await expect(taking).rejects.toThrow('out of stock');
    expect(idsOf(await transport.deadLetters(handler))).toEqual(ids.slice(1));
  });

  test('one that was removed and fails again is there again', async () => {
    const { transport, handler } = await failed(1);
    const [letter] = await transport.deadLetters(handler);
    await transport.transport.takeDeadLetters({
      ...{ group: handler.group, handler: handler.id, signal: never },
      visit: async () => 'remove',
    });
    expect(await transport.deadLetters(handler)).toEqual([]);
    await transport.transport.writeDeadLetter({ ...letter!, attempts: 7 });
    await transport.transport.writeDeadLetter({ ...letter!, attempts: 8 });
    expect(await transport.deadLetters(handler)).toMatchObject([{ id: letter!.id, attempts: 8 }]);
  });

  test('collecting hands over each, those there are and those that come, and removes what was kept', async () => {
    const { transport, handler, ids, name } = await failed(3);
    const collected: DeadLetter[] = [];
    const request = { group: handler.group, handlers: [handler.id, 'formerly'] };
    const collect = async (letters: readonly DeadLetter[]): Promise<void> => void collected.push(...letters);
    const collection = await transport.transport.collectDeadLetters({ ...request, collect });
    const { id } = await transport.publish(name, { n: 3 }, { key: 'k' });

    await eventually(() => collected.length === 4, { what: 'four collected' });
    await collection.close();
    expect(idsOf(collected)).toEqual([...ids, id]);
    expect(collected[0]).toMatchObject({ group: handler.group, handler: handler.id, reason: 'failed' });

    const again: DeadLetter[] = [];
    const second = await transport.transport.collectDeadLetters({
      ...request,
      collect: async (letters) => void again.push(...letters),
    });
    const last = await transport.publish(name, { n: 4 }, { key: 'k' });
    await eventually(() => again.length > 0, { what: 'the last one collected' });
    await second.close();
    expect(idsOf(again)).toEqual([last.id]);
  });

  test('what could not be kept is handed over again, and nothing is removed before', async () => {
    const { transport, handler, ids } = await failed(3);
    const collected = new Set<unknown>();
    let failures = 0;
    const collection = await transport.transport.collectDeadLetters({
      ...{ group: handler.group, handlers: [handler.id] },
      collect: async (letters) => {
        if (failures++ < 2) throw new Error('the disk is full');
        for (const { eventId } of letters) collected.add(eventId);
      },
    });
    await eventually(() => collected.size === 3, { what: 'all collected in the end' });
    await collection.close();
    expect([...collected].sort()).toEqual([...ids].sort());
    expect(transport.logger.lines.some(({ message }) => message.includes('the disk is full'))).toBe(true);
  });

  test('a dead letter that is described in JSON is read back as it was', async () => {
    const [domain, group] = [uniqueWord('json'), uniqueWord('group')];
    const handler = { group, patterns: [`${domain}.order.placed`], handle: failing, retry: { attempts: 1 } };
    const transport = await open({ deadLetterBody: 'json' });
    const consumer = await transport.consume(handler);
    await transport.publish(`${domain}.order.placed`, new Uint8Array([0, 255]), { headers: { tenant: 'acme' } });
    await eventually(() => consumer.count('dead-lettered') === 1, { what: 'the dead letter' });

    const [letter] = await (await open()).deadLetters(handler);
    expect(Buffer.from(letter?.original.body ?? [])).toEqual(Buffer.from([0, 255]));
    expect(letter?.original.headers).toMatchObject({ tenant: 'acme' });
    expect(letter?.error).toMatchObject({ class: 'RangeError', code: 'RangeError', message: 'out of stock' });
  });
}

import { expect, test } from '@jest/globals';
import { eventually } from '../../support/eventually.js';
import { uniqueWord } from '../../support/unique.js';
import type { ConformanceSuite } from '../conformance-suite.js';

export function patterns({ open }: ConformanceSuite): void {
  test('"*" stands for one word and "#" for any number, everywhere in a pattern', async () => {
    const [domain, group] = [uniqueWord('patterns'), uniqueWord('group')];
    const handlers = {
      'one-word': `${domain}.*.placed`,
      'any-end': `${domain}.order.#`,
      'any-middle': `${domain}.#.done`,
      both: `${domain}.*.#.paid`,
    };
    const names = [
      `${domain}.order.placed`,
      `${domain}.order`,
      `${domain}.order.item.placed`,
      `${domain}.cart.placed`,
      `${domain}.done`,
      `${domain}.order.item.picking.done`,
      `${domain}.order.paid`,
      `${domain}.order.by.card.paid`,
      `${domain}.paid`,
    ];
    const expected = {
      'one-word': [`${domain}.order.placed`, `${domain}.cart.placed`],
      'any-end': names.filter((name) => name.startsWith(`${domain}.order`)),
      'any-middle': [`${domain}.done`, `${domain}.order.item.picking.done`],
      both: [`${domain}.order.paid`, `${domain}.order.by.card.paid`],
    };
    const transport = await open();
    const consumer = await transport.consume(
      ...Object.entries(handlers).map(([id, pattern]) => ({ group, id, patterns: [pattern] })),
    );

    for (const name of names) await transport.publish(name, null);

    await eventually(() => {
      for (const [id, matching] of Object.entries(expected)) {
        expect(namesOf(consumer.of(id))).toEqual([...matching].sort());
      }
      return true;
    });
  });

  test('an entity that appears later reaches the pattern that matches it', async () => {
    const [domain, group] = [uniqueWord('later'), uniqueWord('group')];
    const transport = await open();
    const consumer = await transport.consume({ group, patterns: [`${domain}.#`] });
    await transport.publish(`${domain}.order.placed`, { n: 0 });
    await consumer.handled(1);

    await transport.publish(`${domain}.parcel.sent`, { n: 1 });
    await transport.publish(`${domain}.parcel.lost`, { n: 2 });

    await consumer.handled(3);
    expect(namesOf(consumer.done)).toEqual([
      `${domain}.order.placed`,
      `${domain}.parcel.lost`,
      `${domain}.parcel.sent`,
    ]);
  });

  test('an event that matches a handler twice is handled once', async () => {
    const [domain, group] = [uniqueWord('twice'), uniqueWord('group')];
    const transport = await open();
    const consumer = await transport.consume({
      group,
      patterns: [`${domain}.order.placed`, `${domain}.order.*`, `${domain}.#`],
    });

    await transport.publishMany(`${domain}.order.placed`, 10);
    await transport.publish(`${domain}.order.last`, null);

    await consumer.handled(11);
    expect(consumer.calls).toHaveLength(11);
  });

  test('names do not leak into each other', async () => {
    const domain = uniqueWord('leak');
    const name = `${domain}.order.placed`;
    const others = [
      `${domain}.order.placed.late`,
      `${domain}.order.placedx`,
      `${domain}.order`,
      `${domain}.orderx.placed`,
      `${domain}x.order.placed`,
      `${domain}.Order.placed`,
      `${domain}.order-placed`,
    ];
    const transport = await open();
    const [one, all] = await Promise.all([
      transport.consume({ group: uniqueWord('one'), patterns: [name] }),
      transport.consume({ group: uniqueWord('all'), patterns: [name, ...others] }),
    ]);

    for (const other of others) await transport.publish(other, null);
    await transport.publish(name, { n: 0 });

    await Promise.all([one.handled(1), all.handled(others.length + 1)]);
    expect(namesOf(one.calls)).toEqual([name]);
  });
}

function namesOf(calls: readonly { readonly envelope: { readonly name: string } }[]): string[] {
  return calls.map(({ envelope }) => envelope.name).sort();
}

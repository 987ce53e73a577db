import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import type { OutboxEntry, OutboxStore } from '../outbox/outbox-store.js';
import type { Rule } from './contract.js';
import { enrolled, entryOf, relayAll, relayOnce } from './outbox-entries.js';
import type { OutboxStoreHarness } from './outbox-store.harness.js';
import { aWhile, Gate, inTime, withGate } from './waiting.js';

/** A transaction that has enrolled these when this resolves, and ends when the gate opens. */
async function open(
  store: OutboxStore,
  entries: readonly OutboxEntry[],
  options: { readonly end: Gate; readonly rollback?: boolean },
): Promise<{ ended: Promise<void> }> {
  const written = new Gate();
  const ended = store.transactional(async () => {
    await store.enrol(entries);
    written.open();
    await options.end.opened;
    if (options.rollback === true) throw new Error('declined');
  });
  const quiet = ended.catch(() => undefined); // a case that fails does not wait for it
  await inTime(Promise.race([written.opened, ended]), 'enrol()');
  return { ended: options.rollback === true ? quiet : ended };
}

/** A call of `relay` that holds what it was handed until the gate opens. */
async function holding(
  store: OutboxStore,
  end: Gate,
  limit: number,
): Promise<{ ids: string[]; done: Promise<unknown> }> {
  const taken = new Gate();
  const ids: string[] = [];
  const done = relayOnce(
    store,
    async (id) => {
      ids.push(id);
      taken.open();
      await end.opened;
      return { type: 'published' };
    },
    { limit },
  );
  done.catch(() => undefined);
  await inTime(Promise.race([taken.opened, done]), 'relay()');
  return { ids, done };
}

export const OUTBOX_RACE_RULES: readonly Rule<OutboxStoreHarness>[] = [
  [
    'a transaction that commits late is not skipped',
    async ({ store }) => {
      await withGate(async (end) => {
        const { ended } = await open(store, [entryOf('late', 'a'), entryOf('late too')], { end });
        await enrolled(store, entryOf('early', 'b'), entryOf('early too'));
        assert.deepEqual((await relayAll(store)).sort(), ['early', 'early too']);
        end.open();
        await ended;
        assert.deepEqual((await relayAll(store)).sort(), ['late', 'late too']);
      });
    },
  ],
  [
    'the order of a key is the order in which its transactions committed',
    async ({ store, another }) => {
      const other = (await another?.()) ?? store;
      const committed: string[] = [];
      await withGate(async (end) => {
        const { ended } = await open(store, [entryOf('first', 'key')], { end });
        const first = ended.then(() => committed.push('first'));
        // It waits for the first one, or commits before it; either is an order.
        const second = enrolled(other, entryOf('second', 'key')).then(() => committed.push('second'));
        await aWhile();
        end.open();
        await inTime(Promise.all([first, second]), 'two transactions');
        assert.deepEqual(await relayAll(store), committed);
      });
    },
  ],
  [
    'a transaction that is rolled back lets the next one of its key go on',
    async ({ store }) => {
      await withGate(async (end) => {
        const { ended } = await open(store, [entryOf('first', 'key')], { end, rollback: true });
        const second = enrolled(store, entryOf('second', 'key'));
        end.open();
        await ended;
        await inTime(second, 'the second transaction');
        assert.deepEqual(await relayAll(store), ['second']);
      });
    },
  ],
  [
    'keys enrolled in opposite order in one call do not deadlock',
    async ({ store, another }) => {
      const other = (await another?.()) ?? store;
      const keys = ['a', 'b', 'c', 'd'];
      const transactions = Array.from({ length: 10 }, (_, n) => [
        enrolled(store, ...keys.map((key) => entryOf(`${n} ${key}`, key))),
        enrolled(other, ...keys.toReversed().map((key) => entryOf(`${n} ${key} back`, key))),
      ]);
      await inTime(Promise.all(transactions.flat()), '20 transactions');
      assert.equal((await relayAll(store)).length, 80);
    },
  ],
  [
    'entries of a line that one relay holds are handed to no other',
    async ({ store, another }) => {
      const other = (await another?.()) ?? store;
      await enrolled(store, entryOf('a1', 'a'), entryOf('a2', 'a'), entryOf('a3', 'a'));
      await withGate(async (end) => {
        const { ids, done } = await holding(store, end, 1);
        assert.deepEqual(ids, ['a1']);
        assert.deepEqual(await relayAll(other), [], 'a2 overtook a1, which is not confirmed yet');
        end.open();
        await inTime(done, 'the first relay');
        assert.deepEqual(await relayAll(other), ['a2', 'a3']);
      });
    },
  ],
  [
    'several relays hand over each entry once, and each key in order',
    async ({ store, another }) => {
      const stores = [store, (await another?.()) ?? store, store, (await another?.()) ?? store];
      const expected = new Map<string, string[]>();
      for (let n = 0; n < 20; n++) {
        const keys = Array.from({ length: 10 }, (_, key) => `key ${key}`);
        for (const key of keys) expected.set(key, [...(expected.get(key) ?? []), `${key} ${n}`]);
        await enrolled(store, ...keys.map((key) => entryOf(`${key} ${n}`, key)));
      }
      const seen = new Map<string, string[]>();
      const relay = async (each: OutboxStore): Promise<void> => {
        const note = async (id: string): Promise<{ type: 'published' }> => {
          const key = id.split(' ').slice(0, 2).join(' ');
          seen.set(key, [...(seen.get(key) ?? []), id]);
          await turn();
          return { type: 'published' };
        };
        // Another one may hold what is left: only the lag tells that all is done.
        while ((await each.lag()).waiting > 0) {
          await relayOnce(each, note, { limit: 15 });
          await turn();
        }
      };
      await inTime(Promise.all(stores.map(relay)), 'four relays');
      assert.deepEqual(new Map([...seen].sort()), new Map([...expected].sort()));
    },
  ],
];

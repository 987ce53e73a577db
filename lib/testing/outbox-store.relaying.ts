import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Relayed } from '../outbox/outbox-store.js';
import type { Rule } from './contract.js';
import { enrolled, entryOf, relayAll, relayOnce } from './outbox-entries.js';
import type { OutboxStoreHarness } from './outbox-store.harness.js';
import { inTime } from './waiting.js';

const failed = (retryAfterMs: number): Relayed => ({ type: 'failed', error: 'refused', retryAfterMs });
const parked: Relayed = { type: 'parked', error: 'refused for good' };
/** Longer than a case takes. */
const LATER_MS = 60_000;

export const RELAY_RULES: readonly Rule<OutboxStoreHarness>[] = [
  [
    'what was published is forgotten',
    async ({ store }) => {
      await enrolled(store, entryOf('a'), entryOf('b', 'key'));
      assert.deepEqual((await relayAll(store)).sort(), ['a', 'b']);
      assert.deepEqual(await relayAll(store), []);
      assert.equal((await store.lag()).waiting, 0);
    },
  ],
  [
    'nothing due is not handed over: publish is not called',
    async ({ store }) => {
      const result = await store.relay({
        ...{ transport: 'kafka', limit: 10, leaseMs: LATER_MS },
        publish: async () => assert.fail('publish was called'),
      });
      assert.deepEqual({ taken: result.taken, more: result.more }, { taken: 0, more: false });
    },
  ],
  [
    'the entries of a key are handed over in the order of their transactions, over several calls too',
    async ({ store }) => {
      const ids = Array.from({ length: 30 }, (_, n) => `e${String(n).padStart(2, '0')}`);
      for (const id of ids) await enrolled(store, entryOf(id, 'key'));
      assert.deepEqual(await relayAll(store, undefined, { limit: 7 }), ids);
    },
  ],
  [
    'the entries of one call keep their order',
    async ({ store }) => {
      const ids = Array.from({ length: 50 }, (_, n) => `e${n}`);
      await enrolled(store, ...ids.map((id) => entryOf(id, 'key')));
      assert.deepEqual(await relayAll(store), ids);
    },
  ],
  [
    'no more than the limit is handed over',
    async ({ store }) => {
      await enrolled(store, ...Array.from({ length: 20 }, (_, n) => entryOf(`e${n}`)));
      const { ids, more } = await relayOnce(store, undefined, { limit: 5 });
      assert.ok(ids.length > 0 && ids.length <= 5, `${ids.length} of at most 5`);
      assert.equal(more, true);
    },
  ],
  [
    'an entry that was left comes again, without a failure',
    async ({ store }) => {
      await enrolled(store, entryOf('a', 'key'), entryOf('b', 'key'));
      const first = await relayOnce(store, () => ({ type: 'left' }));
      assert.equal(first.ids[0], 'a');
      const failures: number[] = [];
      assert.deepEqual(await relayAll(store, (_, entry) => void failures.push(entry.failures)), ['a', 'b']);
      assert.deepEqual(failures, [0, 0]);
    },
  ],
  [
    'an entry that failed waits, and holds back its key only',
    async ({ store }) => {
      await enrolled(store, entryOf('a1', 'a'), entryOf('a2', 'a'), entryOf('b1', 'b'), entryOf('c1'), entryOf('c2'));
      await relayOnce(store, (id) =>
        id === 'a1' || id === 'c1' ? failed(LATER_MS) : id === 'a2' ? { type: 'left' } : undefined,
      );
      await enrolled(store, entryOf('a3', 'a'), entryOf('b2', 'b'), entryOf('c3'));
      assert.deepEqual((await relayAll(store)).sort(), ['b2', 'c3']);
      assert.equal((await store.lag()).waiting, 4, 'a1, a2, a3 and c1');
    },
  ],
  [
    'an entry that failed comes again after its wait, before what is behind it, and knows its failures',
    async ({ store }) => {
      await enrolled(store, entryOf('a1', 'a'), entryOf('a2', 'a'));
      await relayOnce(store, (id) => (id === 'a1' ? failed(50) : { type: 'left' }));
      await sleep(100);
      const failures: number[] = [];
      assert.deepEqual(await relayAll(store, (_, entry) => void failures.push(entry.failures)), ['a1', 'a2']);
      assert.deepEqual(failures, [1, 0]);
    },
  ],
  [
    'a parked entry is out of its line, which goes on; it can be released and discarded',
    async ({ store }) => {
      await enrolled(store, entryOf('a1', 'a'), entryOf('a2', 'a'), entryOf('b1', 'b'));
      await relayOnce(store, (id) => (id === 'a2' ? { type: 'left' } : parked));
      assert.deepEqual(await relayAll(store), ['a2']);
      const found = await store.parked({});
      assert.deepEqual(found.map(({ id }) => id).sort(), ['a1', 'b1']);
      assert.ok(found.every(({ error, event }) => error === 'refused for good' && event === 'orders.order.placed'));
      assert.equal((await store.lag()).parked, 2);
      assert.equal(await store.release(['a1', 'unknown']), 1);
      const failures: number[] = [];
      assert.deepEqual(await relayAll(store, (_, entry) => void failures.push(entry.failures)), ['a1']);
      assert.deepEqual(failures, [0], 'its failures are forgotten');
      assert.equal(await store.discard(['b1', 'unknown']), 1);
      assert.deepEqual(await store.parked({}), []);
      assert.deepEqual(await relayAll(store), []);
    },
  ],
  [
    'only parked entries are released and discarded',
    async ({ store }) => {
      await enrolled(store, entryOf('a'));
      assert.equal(await store.discard(['a']), 0);
      assert.equal(await store.release(['a']), 0);
      assert.deepEqual(await relayAll(store), ['a']);
    },
  ],
  [
    'an entry with a time of its own comes then, never earlier, and holds back nobody',
    async ({ store }) => {
      await enrolled(store, entryOf('later', 'key', { delayMs: 600 }), entryOf('now', 'key'));
      await enrolled(store, entryOf('much later', 'key', { notBefore: new Date(Date.now() + LATER_MS) }));
      const begin = Date.now();
      assert.deepEqual(await relayAll(store), ['now']);
      assert.equal((await store.lag()).delayed, 2);
      const { nextDueInMs } = await relayOnce(store);
      assert.ok(nextDueInMs !== undefined && nextDueInMs > 0 && nextDueInMs <= 600, `due in ${nextDueInMs} ms`);
      for (let ids: string[] = []; ids.length === 0; ids = await relayAll(store)) {
        assert.ok(Date.now() - begin < 5_000, 'it never came');
        await sleep(20);
        if (ids.length > 0) assert.deepEqual(ids, ['later']);
      }
      // Clocks of two machines may differ by a little; the wait is the database's.
      assert.ok(Date.now() - begin >= 550, 'it came early');
    },
  ],
  [
    'a time that has passed is no reason to wait',
    async ({ store }) => {
      await enrolled(store, entryOf('a', 'key', { notBefore: new Date(0) }), entryOf('b', 'key', { delayMs: 0 }));
      assert.deepEqual((await relayAll(store)).sort(), ['a', 'b']);
    },
  ],
  [
    'entries of another transport are left alone',
    async ({ store }) => {
      await enrolled(store, entryOf('a', 'key', { transport: 'rabbitmq' }), entryOf('b', 'key'));
      assert.deepEqual((await store.transports()).toSorted(), ['kafka', 'rabbitmq']);
      assert.deepEqual(await relayAll(store), ['b']);
      assert.deepEqual(await relayAll(store, undefined, { transport: 'rabbitmq' }), ['a']);
    },
  ],
  [
    'a commit is told to those who watch, a rollback is not',
    async ({ store }) => {
      let hints = 0;
      let hinted = (): void => undefined;
      const hint = new Promise<void>((resolve) => (hinted = resolve));
      const end = store.watch(() => {
        hints++;
        hinted();
      });
      const rolledBack = store.transactional(async () => {
        await store.enrol([entryOf('a')]);
        throw new Error('declined');
      });
      await assert.rejects(rolledBack, /declined/);
      assert.equal(hints, 0);
      await enrolled(store, entryOf('b'));
      await inTime(hint, 'the hint', 2_000);
      await end();
    },
  ],
  [
    'lag tells how much waits and for how long',
    async ({ store }) => {
      assert.deepEqual(await store.lag(), { waiting: 0, oldestAgeMs: undefined, delayed: 0, parked: 0 });
      await enrolled(store, entryOf('a'), entryOf('b', 'key'));
      await sleep(60);
      const { waiting, oldestAgeMs } = await store.lag();
      assert.equal(waiting, 2);
      assert.ok(oldestAgeMs !== undefined && oldestAgeMs >= 40 && oldestAgeMs < LATER_MS, `${oldestAgeMs} ms`);
    },
  ],
];

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Rule } from './contract.js';
import {
  claim,
  claimEventually,
  idOf,
  letterOf,
  range,
  requested,
  runAll,
  settle,
  stateOf,
  statesOf,
} from './dead-letters-of.js';
import type { DeadLetterStoreHarness } from './dead-letter-store.harness.js';

export const CLAIM_RULES: readonly Rule<DeadLetterStoreHarness>[] = [
  [
    'only what was requested is handed out, each once',
    async ({ store, another }) => {
      await store.add(['a', 'b', 'c'].map((name) => letterOf(name)));
      assert.deepEqual(await claim(store), []);
      const { id } = await requested(store, ['a', 'c']);
      const claimed = await store.claim({ consumers: ['shop.stock.reserve'], limit: 10, by: 'one', leaseMs: 60_000 });
      assert.deepEqual(claimed.map(({ letter }) => letter.eventId).sort(), ['a', 'c']);
      assert.deepEqual([...new Set(claimed.map(({ redriveId }) => redriveId))], [id]);
      assert.equal(
        Buffer.from(claimed[0]?.letter.original.body ?? []).toString(),
        `{"name":"${claimed[0]?.letter.eventId}"}`,
      );
      assert.deepEqual(await claim(await another(), { by: 'two' }), []);
      assert.deepEqual(await statesOf(store, 'a', 'b', 'c'), ['running', 'waiting', 'running']);
    },
  ],
  [
    'no more than asked for',
    async ({ store }) => {
      await store.add(range(10).map((n) => letterOf(`${n}`)));
      await requested(store);
      assert.equal((await claim(store, { limit: 3 })).length, 3);
      assert.equal((await claim(store, { limit: 0 })).length, 0);
      assert.equal((await claim(store, { limit: 100 })).length, 7);
    },
  ],
  [
    'those of a key one at a time, in the order they were added',
    async ({ store, another }) => {
      const other = await another();
      await store.add(range(3).flatMap((n) => ['a', 'b'].map((key) => letterOf(`${key}${n}`, key))));
      await requested(store);
      assert.deepEqual((await claim(store)).sort(), ['a0', 'b0']);
      assert.deepEqual(await claim(other, { by: 'two' }), []);
      await settle(store, 'a0');
      assert.deepEqual(await claim(other, { by: 'two' }), ['a1']);
      await settle(store, 'b0', { result: 'failed' });
      assert.deepEqual(await claim(store), ['b1'], 'one that fails does not hold the next back where no key is parked');
    },
  ],
  [
    'a key of another consumer is another key',
    async ({ store }) => {
      await store.add([letterOf('here', 'a'), letterOf('there', 'a', { handler: 'mail.send' })]);
      await requested(store);
      const consumers = ['shop.stock.reserve', 'shop.mail.send'];
      assert.deepEqual((await claim(store, { consumers })).sort(), ['here', 'there']);
    },
  ],
  [
    'an earlier one that is requested later goes first',
    async ({ store }) => {
      await store.add([letterOf('a0', 'a'), letterOf('a1', 'a'), letterOf('a2', 'a')]);
      await requested(store, ['a2']);
      await requested(store, ['a0', 'a1']);
      assert.deepEqual(await runAll(store, undefined, { limit: 1 }), ['a0', 'a1', 'a2']);
    },
  ],
  [
    'an earlier one does not start while a later one of its key runs',
    async ({ store }) => {
      await store.add([letterOf('a0', 'a'), letterOf('a1', 'a')]);
      await requested(store, ['a1']);
      assert.deepEqual(await claim(store), ['a1']);
      await requested(store, ['a0']);
      assert.deepEqual(await claim(store), []);
      await settle(store, 'a1');
      assert.deepEqual(await claim(store), ['a0']);
    },
  ],
  [
    'what a process that is gone had claimed is handed out again after the lease',
    async ({ store, another }) => {
      const other = await another();
      await store.add([letterOf('a0', 'a'), letterOf('a1', 'a')]);
      await requested(store);
      assert.deepEqual(await claim(store, { leaseMs: 50 }), ['a0']);
      assert.deepEqual(await claimEventually(other, { by: 'two' }), ['a0']);
      await settle(store, 'a0', { result: 'failed', by: 'one' });
      assert.equal(await stateOf(store, 'a0'), 'running', 'the claim was lost: its result changes nothing');
      assert.deepEqual((await store.history(idOf('a0'))).at(-1)?.action, 'requested');
      await settle(other, 'a0', { result: 'handled', by: 'two' });
      await settle(store, 'a0', { result: 'failed', by: 'one' });
      assert.equal(await stateOf(store, 'a0'), 'redriven');
    },
  ],
  [
    'a lease that is extended is kept; those that were lost are told',
    async ({ store, another }) => {
      const other = await another();
      await store.add([letterOf('kept'), letterOf('lost')]);
      await requested(store);
      assert.deepEqual((await claim(store, { leaseMs: 300 })).sort(), ['kept', 'lost']);
      const ids = [idOf('kept'), idOf('lost')];
      assert.deepEqual((await store.extend(ids, { by: 'one', leaseMs: 60_000 })).toSorted(), ids.toSorted());
      await store.extend([idOf('lost')], { by: 'one', leaseMs: 1 });
      assert.deepEqual(await claimEventually(other, { by: 'two' }), ['lost']);
      assert.deepEqual(await store.extend(ids, { by: 'one', leaseMs: 60_000 }), [idOf('kept')]);
      assert.deepEqual(await store.extend([], { by: 'one', leaseMs: 1 }), []);
    },
  ],
  [
    'what is given back is handed out again at once; of others nothing is',
    async ({ store }) => {
      await store.add([letterOf('a0', 'a'), letterOf('b0', 'b')]);
      await requested(store);
      await claim(store);
      await store.release([idOf('a0')], 'two');
      assert.deepEqual(await claim(store, { by: 'two' }), []);
      await store.release([idOf('a0')], 'one');
      assert.deepEqual(await claim(store, { by: 'two' }), ['a0']);
      await settle(store, 'a0', { result: 'failed', by: 'one' });
      assert.equal(await stateOf(store, 'a0'), 'running');
    },
  ],
  [
    'the rate of a redrive holds over all processes',
    async ({ store, another }) => {
      const stores = [store, await another()];
      await store.add(range(30).map((n) => letterOf(`${n}`)));
      await requested(store, undefined, { ratePerSecond: 10 });
      const starts: number[] = [];
      const end = performance.now() + 2_300;
      const work = async (each: typeof store, by: string): Promise<void> => {
        while (performance.now() < end) {
          const before = performance.now();
          for (const _ of await claim(each, { by })) starts.push(before);
          await sleep(20);
        }
      };
      await Promise.all(stores.map((each, n) => work(each, `${n}`)));
      for (const from of starts) {
        // Measured here, a little around what the store measures.
        const within = starts.filter((at) => at >= from && at < from + 900).length;
        assert.ok(within <= 10, `${within} began within 0.9 s`);
      }
      assert.ok(starts.length >= 20, `${starts.length} began in 2.3 s`);
    },
  ],
  [
    'a slow redrive does not hold up another one',
    async ({ store }) => {
      await store.add(range(6).map((n) => letterOf(`${n}`)));
      await requested(store, ['0', '1', '2'], { ratePerSecond: 0.001 });
      await requested(store, ['3', '4', '5']);
      const first = await claim(store, { limit: 2 });
      const rest = await claim(store);
      assert.deepEqual([...first, ...rest].filter((name) => Number(name) < 3).length, 1);
      assert.deepEqual([...first, ...rest].filter((name) => Number(name) >= 3).sort(), ['3', '4', '5']);
    },
  ],
];

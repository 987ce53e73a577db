import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import type { DeadLetterStore } from '../dead-letter/dead-letter-store.js';
import type { Rule } from './contract.js';
import { claim, letterOf, range, requested, settle, stateOf } from './dead-letters-of.js';
import type { DeadLetterStoreHarness } from './dead-letter-store.harness.js';
import { inTime } from './waiting.js';

const LIMIT_MS = 60_000;

/** Claims and settles until all of `count` are done; notes what runs at the same time of one key. */
async function race(stores: readonly DeadLetterStore[], count: number): Promise<Map<string, string[]>> {
  const seen = new Map<string, string[]>();
  const running = new Set<string>();
  let done = 0;
  const work = async (store: DeadLetterStore, by: string): Promise<void> => {
    while (done < count) {
      for (const name of await claim(store, { by, limit: 3 })) {
        const key = name.split(' ')[0] as string;
        assert.ok(!running.has(key), `two of the key ${key} run at the same time`);
        running.add(key);
        seen.set(key, [...(seen.get(key) ?? []), name]);
        await turn();
        running.delete(key);
        await settle(store, name, { result: 'handled', by: by });
        done++;
      }
    }
  };
  const all = Promise.all(stores.map((store, n) => work(store, `process ${n}`)));
  await inTime(all, 'the redrive', LIMIT_MS);
  return seen;
}

export const DEAD_LETTER_RACE_RULES: readonly Rule<DeadLetterStoreHarness>[] = [
  [
    'two operators at once: each dead letter belongs to one redrive',
    async ({ store, another }) => {
      const stores = [store, await another(), store, await another()];
      await store.add(range(200).map((n) => letterOf(`${n}`)));
      const redrives = await inTime(Promise.all(stores.map((each) => requested(each))), 'four requests');
      const totals = redrives.map(({ total }) => total);
      assert.equal(
        totals.reduce((sum, total) => sum + total, 0),
        200,
        `${totals.join(' + ')}`,
      );
    },
  ],
  [
    'one discards, one redrives: each dead letter is one of them',
    async ({ store, another }) => {
      const other = await another();
      await store.add(range(200).map((n) => letterOf(`${n}`)));
      const [redrive, discarded] = await Promise.all([requested(store), other.discard({}, { by: 'eve' })]);
      assert.equal(redrive.total + discarded, 200);
      assert.equal(await store.count({ state: 'discarded' }), discarded);
    },
  ],
  [
    'several processes claim: each dead letter once',
    async ({ store, another }) => {
      const stores = [store, await another(), store, await another()];
      await store.add(range(100).map((n) => letterOf(`${n}`)));
      await requested(store);
      const claimed = await Promise.all(
        range(20).map((n) => claim(stores[n % 4] as DeadLetterStore, { by: `${n}`, limit: 7 })),
      );
      const names = claimed.flat();
      assert.equal(new Set(names).size, names.length, 'one was handed out twice');
      const rest = await claim(store, { limit: 1_000 });
      assert.equal(new Set([...names, ...rest]).size, 100);
    },
  ],
  [
    'the order of a key holds over several processes',
    async ({ store, another }) => {
      const stores = [store, await another(), await another(), store];
      const keys = range(6).map((n) => `key${n}`);
      const letters = range(15).flatMap((n) => keys.map((key) => letterOf(`${key} ${n}`, key)));
      await store.add(letters);
      await requested(store);
      const seen = await race(stores, letters.length);
      for (const key of keys)
        assert.deepEqual(
          seen.get(key),
          range(15).map((n) => `${key} ${n}`),
        );
    },
  ],
  [
    'earlier ones requested while others are claimed: never two of a key at once',
    async ({ store, another }) => {
      const stores = [store, await another(), store];
      const names = range(30).flatMap((n) => range(4).map((key) => `key${key} ${n}`));
      await store.add(names.map((name) => letterOf(name, name.split(' ')[0])));
      const requests = (async () => {
        for (let last = names.length; last > 0; last -= 8) {
          await requested(store, names.slice(Math.max(0, last - 8), last));
        }
      })();
      const seen = await race(stores, names.length);
      await requests;
      assert.equal([...seen.values()].flat().length, names.length);
    },
  ],
  [
    'what follows while a key is let go is either kept behind it or free to go: none is left behind',
    async ({ store, another }) => {
      const stores = [store, await another(), await another()];
      for (const round of range(15)) {
        const key = `key ${round}`;
        const name = (n: number): string => `${round}/${n}`;
        await store.park(letterOf(name(0), key));
        await requested(store);
        await claim(store);
        const followed: string[] = [];
        const follow = async (n: number): Promise<void> => {
          const each = stores[n % stores.length] as DeadLetterStore;
          if (await each.follow(letterOf(name(n), key))) followed.push(name(n));
        };
        await inTime(
          Promise.all([settle(store, name(0)), ...range(12).map((n) => follow(n + 1))]),
          'following and letting go',
        );
        // Whoever followed is requested, one after the other, until the key is free.
        const run: string[] = [];
        for (;;) {
          const [next, ...more] = await claim(store);
          assert.deepEqual(more, []);
          if (next === undefined) break;
          run.push(next);
          await settle(store, next);
        }
        assert.deepEqual(run.sort(), followed.sort());
        assert.equal(await store.follow(letterOf(name(99), key)), false, 'the key is free at the end');
      }
    },
  ],
  [
    'an abort while processes claim and settle: each dead letter ran or waits, none is lost',
    async ({ store, another }) => {
      const stores = [store, await another(), store];
      for (const round of range(5)) {
        const names = range(40).map((n) => `${round}/${n}`);
        await store.add(names.map((name, n) => letterOf(name, `${round} ${n % 10}`)));
        const { id } = await requested(store);
        const ran: string[] = [];
        const work = async (each: DeadLetterStore, by: string): Promise<void> => {
          for (;;) {
            const claimed = await claim(each, { by, limit: 2 });
            if (claimed.length === 0) return;
            for (const name of claimed) await settle(each, name, { result: 'handled', by: by });
            ran.push(...claimed);
          }
        };
        const working = Promise.all(stores.map((each, n) => work(each, `${n}`)));
        while (ran.length < 10) await turn();
        await store.abort(id, { by: 'eve' });
        await inTime(working, 'the processes');
        const redrive = await store.redrive(id);
        assert.deepEqual([redrive?.pending, redrive?.handled], [0, ran.length]);
        for (const name of names) {
          assert.equal(await stateOf(store, name), ran.includes(name) ? 'redriven' : 'waiting');
        }
        await store.discard({}, { by: 'eve' });
      }
    },
  ],
];

import assert from 'node:assert/strict';
import type { Rule } from './contract.js';
import {
  claim,
  claimEventually,
  failedAgain,
  idOf,
  letterOf,
  OPERATOR,
  range,
  requested,
  runAll,
  settle,
  stateOf,
  statesOf,
} from './dead-letters-of.js';
import type { DeadLetterStore } from '../dead-letter/dead-letter-store.js';
import type { DeadLetterStoreHarness } from './dead-letter-store.harness.js';

/** `k0` is a dead letter that holds its key back, the others have followed. */
async function parked(store: DeadLetterStore, count: number): Promise<string[]> {
  const names = range(count).map((n) => `k${n}`);
  await store.park(letterOf('k0', 'k'));
  for (const name of names.slice(1)) assert.equal(await store.follow(letterOf(name, 'k')), true);
  return names;
}

const isHeld = (store: DeadLetterStore): Promise<boolean> => store.follow(letterOf('probe', 'k'));

export const PARKING_RULES: readonly Rule<DeadLetterStoreHarness>[] = [
  [
    'a key is held back once it is parked, for all, and only this one',
    async ({ store, another }) => {
      const other = await another();
      assert.equal(await store.follow(letterOf('k1', 'k')), false);
      assert.equal(await stateOf(store, 'k1'), undefined);
      await store.park(letterOf('k0', 'k'));
      assert.equal(await other.follow(letterOf('k1', 'k')), true);
      assert.deepEqual(await statesOf(store, 'k0', 'k1'), ['waiting', 'following']);
      assert.equal(await store.follow(letterOf('l0', 'l')), false);
      assert.equal(await store.follow(letterOf('none')), false);
      assert.equal(await store.follow(letterOf('there', 'k', { handler: 'mail.send' })), false);
      assert.equal(await store.count({}), 2);
    },
  ],
  [
    'parking and following again changes nothing',
    async ({ store }) => {
      const names = await parked(store, 3);
      await store.park(letterOf('k0', 'k'));
      for (const name of names) assert.equal(await store.follow(letterOf(name, 'k')), true);
      assert.deepEqual(await statesOf(store, ...names), ['waiting', 'following', 'following']);
      assert.equal(await store.count({}), 3);
      for (const name of names) assert.equal((await store.history(idOf(name))).length, 1);
      await requested(store);
      assert.deepEqual(await runAll(store), names);
      assert.equal(await store.follow(letterOf('k1', 'k')), false, 'the key is free, and the letter done with');
      assert.equal(await stateOf(store, 'k1'), 'redriven');
    },
  ],
  [
    'one that is parked anew after it was done with waits and holds its key again',
    async ({ store }) => {
      await parked(store, 1);
      await requested(store);
      await runAll(store);
      assert.equal(await isHeld(store), false);
      await store.park(failedAgain(letterOf('k0', 'k')));
      assert.equal(await stateOf(store, 'k0'), 'waiting');
      assert.equal(await isHeld(store), true);
    },
  ],
  [
    'one without a key is parked alone',
    async ({ store }) => {
      await store.park(letterOf('alone'));
      assert.equal(await stateOf(store, 'alone'), 'waiting');
      assert.equal(await store.follow(letterOf('other')), false);
    },
  ],
  [
    'what follows goes on by itself after the first, in order, in the same redrive; then the key is free',
    async ({ store }) => {
      const names = await parked(store, 5);
      assert.equal((await requested(store)).pending, 1, 'what follows is not to be requested');
      const { id } = (await store.redrives({})).items[0] ?? assert.fail('there is no redrive');
      assert.equal(await store.discard({ ids: [idOf('k3')] }, OPERATOR), 0);
      const run: string[] = [];
      for (const name of names) {
        assert.deepEqual(await claim(store), [name]);
        assert.equal(await isHeldBy(store, name), true);
        assert.equal((await store.redrive(id))?.state, 'running');
        await settle(store, name);
        run.push(name);
      }
      const redrive = await store.redrive(id);
      assert.deepEqual([redrive?.state, redrive?.total, redrive?.handled], ['done', 5, 5]);
      assert.equal(await isHeld(store), false);
    },
  ],
  [
    'when one of them fails, the rest follows it',
    async ({ store }) => {
      const names = await parked(store, 4);
      await requested(store);
      const run = await runAll(store, (name) => (name === 'k1' ? 'failed' : 'handled'));
      assert.deepEqual(run, ['k0', 'k1']);
      assert.deepEqual(await statesOf(store, ...names), ['redriven', 'waiting', 'following', 'following']);
      assert.equal(await isHeldBy(store, 'k3'), true);
      assert.equal((await store.redrives({})).items[0]?.state, 'done');
      await requested(store);
      assert.deepEqual(await runAll(store), ['k1', 'k2', 'k3']);
      assert.equal(await isHeld(store), false);
    },
  ],
  [
    'duplicates and dropped ones let the next go on too',
    async ({ store }) => {
      await parked(store, 4);
      await requested(store);
      const run = await runAll(store, (name) => (name === 'k0' ? 'duplicate' : name === 'k1' ? 'dropped' : 'handled'));
      assert.deepEqual(run, ['k0', 'k1', 'k2', 'k3']);
      assert.equal(await isHeld(store), false);
    },
  ],
  [
    'others of a parked key that were requested with its first follow it when it fails',
    async ({ store }) => {
      await store.add([letterOf('k0', 'k'), letterOf('k1', 'k'), letterOf('k2', 'k')]);
      await store.park(letterOf('k0', 'k'));
      const { id } = await requested(store);
      assert.deepEqual(await runAll(store, () => 'failed'), ['k0']);
      assert.deepEqual(await statesOf(store, 'k0', 'k1', 'k2'), ['waiting', 'following', 'following']);
      const redrive = await store.redrive(id);
      assert.deepEqual([redrive?.state, redrive?.failed, redrive?.aborted], ['done', 1, 2]);
    },
  ],
  [
    'discarding the first lets the rest go on, in a redrive of who discarded it',
    async ({ store }) => {
      await parked(store, 3);
      assert.equal(await store.discard({}, { by: 'eve', note: 'never mind' }), 1);
      assert.deepEqual(await runAll(store), ['k1', 'k2']);
      const [redrive, ...more] = (await store.redrives({})).items;
      assert.deepEqual([redrive?.by, redrive?.note, redrive?.handled, more.length], ['eve', 'never mind', 2, 0]);
      assert.equal(await isHeld(store), false);
    },
  ],
  [
    'discarding the only one frees its key, without a redrive',
    async ({ store }) => {
      await parked(store, 1);
      await store.discard({}, OPERATOR);
      assert.equal(await isHeld(store), false);
    },
  ],
  [
    'an edited one holds the key until it is redriven',
    async ({ store }) => {
      await parked(store, 3);
      await store.replace(idOf('k0'), letterOf('edited', 'another key'), OPERATOR);
      assert.equal(await isHeldBy(store, 'k2'), true);
      assert.deepEqual(await runAll(store, () => 'failed'), ['edited']);
      assert.deepEqual(await statesOf(store, 'edited', 'k1', 'k2'), ['waiting', 'following', 'following']);
      await requested(store);
      assert.deepEqual(await runAll(store), ['edited', 'k1', 'k2']);
      assert.equal(await isHeld(store), false);
    },
  ],
  [
    'after an abort what follows waits for an operator, in order',
    async ({ store }) => {
      const names = await parked(store, 3);
      const { id } = await requested(store);
      await claim(store);
      await store.abort(id, OPERATOR);
      await settle(store, 'k0');
      assert.deepEqual(await statesOf(store, ...names), ['redriven', 'waiting', 'following']);
      assert.deepEqual(await claim(store), []);
      await requested(store);
      assert.deepEqual(await runAll(store), ['k1', 'k2']);
    },
  ],
  [
    'a process that is gone does not break the order behind a parked key',
    async ({ store, another }) => {
      await parked(store, 3);
      await requested(store);
      assert.deepEqual(await claim(store, { leaseMs: 30, by: 'gone' }), ['k0']);
      const other = await another();
      assert.deepEqual(await claimEventually(other, { by: 'two' }), ['k0']);
      await settle(store, 'k0', { result: 'handled', by: 'gone' });
      assert.deepEqual(await claim(store), [], 'the result of a lost claim lets nobody go on');
      await settle(other, 'k0', { result: 'handled', by: 'two' });
      assert.deepEqual(await runAll(store), ['k1', 'k2']);
    },
  ],
];

/** Asked with one that is there already, so that nothing is added. */
const isHeldBy = (store: DeadLetterStore, name: string): Promise<boolean> => store.follow(letterOf(name, 'k'));

import assert from 'node:assert/strict';
import type { IdempotencyStore } from '../idempotency/idempotency-store.js';
import type { Rule } from './contract.js';
import { keyOf } from './idempotency-key.js';
import type { IdempotencyStoreHarness } from './idempotency-store.harness.js';
import { inTime } from './waiting.js';

/** Handles a batch; returns the ids whose effects ran, and checks that the store said so. */
export async function handleAll(
  store: IdempotencyStore,
  ids: readonly string[],
  effect: (fresh: readonly string[]) => Promise<void> = async () => undefined,
): Promise<string[]> {
  let handed: readonly number[] | undefined;
  const { fresh, value } = await inTime(
    store.onceAll(
      ids.map((id) => keyOf(id)),
      async (positions) => {
        handed = positions;
        await effect(positions.map((position) => ids[position] as string));
        return 'value';
      },
    ),
    'onceAll()',
  );
  assert.deepEqual(handed ?? [], fresh, 'the result names what the effect was given');
  assert.equal(value, handed === undefined ? undefined : 'value');
  return fresh.map((position) => ids[position] as string);
}

export const BATCH_RULES: readonly Rule<IdempotencyStoreHarness>[] = [
  [
    'a batch gets its new events only, in their order',
    async ({ store }) => {
      assert.deepEqual(await handleAll(store, ['c', 'a', 'b']), ['c', 'a', 'b']);
      assert.deepEqual(await handleAll(store, ['d', 'a', 'e', 'c']), ['d', 'e']);
    },
  ],
  [
    'an event that occurs twice in a batch is new the first time',
    async ({ store }) => {
      let positions: readonly number[] = [];
      const keys = ['a', 'b', 'a', 'a', 'b'].map((id) => keyOf(id));
      await store.onceAll(keys, async (fresh) => void (positions = fresh));
      assert.deepEqual(positions, [0, 1]);
    },
  ],
  [
    'a batch without anything new runs no effect, an empty one neither',
    async ({ store }) => {
      await handleAll(store, ['a', 'b']);
      for (const ids of [['b', 'a'], []]) {
        const run = store.onceAll(
          ids.map((id) => keyOf(id)),
          async () => assert.fail('the effect ran'),
        );
        assert.deepEqual(await run, { fresh: [], value: undefined });
      }
    },
  ],
  [
    'what a batch handled is a duplicate alone, and the other way round',
    async ({ store }) => {
      await store.once(keyOf('a'), async () => undefined);
      assert.deepEqual(await handleAll(store, ['a', 'b']), ['b']);
      assert.deepEqual(await store.once(keyOf('b'), async () => undefined), { duplicate: true });
    },
  ],
  [
    'a batch that fails is forgotten as a whole, and leaves nothing behind',
    async ({ store, writeEffect, effects }) => {
      const failing = handleAll(store, ['a', 'b'], async () => {
        await writeEffect?.('lost');
        throw new Error('declined');
      });
      await assert.rejects(failing, /declined/);
      assert.deepEqual(await handleAll(store, ['b', 'c']), ['b', 'c']);
      assert.deepEqual(await handleAll(store, ['a', 'b']), ['a']);
      assert.deepEqual((await effects?.()) ?? [], []);
    },
  ],
];

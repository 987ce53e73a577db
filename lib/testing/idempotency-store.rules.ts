import assert from 'node:assert/strict';
import type { IdempotencyKey, IdempotencyStore } from '../idempotency/idempotency-store.js';
import type { Rule } from './contract.js';
import { keyOf } from './idempotency-key.js';
import type { IdempotencyStoreHarness } from './idempotency-store.harness.js';
import { inTime } from './waiting.js';

/** Runs an effect that returns `value`; tells whether it ran. */
async function handle(store: IdempotencyStore, key: IdempotencyKey): Promise<'handled' | 'duplicate'> {
  let ran = false;
  const result = await inTime(
    store.once(key, async () => {
      ran = true;
      return 'value';
    }),
    'once()',
  );
  assert.equal(ran, !result.duplicate, 'a duplicate runs no effect, anything else does');
  return result.duplicate ? 'duplicate' : 'handled';
}

/** Ids that a careless comparison takes for one another, or for something of the language or the database. */
const LOOK_ALIKES = [
  ...[
    '1',
    '01',
    '1.0',
    'a',
    'A',
    'a ',
    ' a',
    'é',
    'e\u0301',
    'ß',
    'ss',
    'null',
    'undefined',
    '__proto__',
    'constructor',
  ],
  ...[
    '6f1c0d1e-8c1a-4b8e-9f0a-1d2c3b4a5f60',
    '6F1C0D1E-8C1A-4B8E-9F0A-1D2C3B4A5F60',
    "'; DROP TABLE x; --",
    '$1',
    '%',
    '_',
  ],
];

export const ONCE_RULES: readonly Rule<IdempotencyStoreHarness>[] = [
  [
    'the first delivery runs the effect and gets its value; later ones are duplicates',
    async ({ store }) => {
      const value = { any: 'thing' };
      const first = await store.once(keyOf('e1'), async () => value);
      assert.ok(!first.duplicate, 'the first delivery is none');
      assert.equal(first.value, value, 'the very value of the effect');
      assert.equal(await handle(store, keyOf('e1')), 'duplicate');
      assert.equal(await handle(store, keyOf('e1')), 'duplicate');
    },
  ],
  [
    'an effect without a value counts as handled',
    async ({ store }) => {
      assert.deepEqual(await store.once(keyOf('e1'), async () => undefined), { duplicate: false, value: undefined });
      assert.deepEqual(await store.once(keyOf('e2'), async () => null), { duplicate: false, value: null });
      assert.equal(await handle(store, keyOf('e1')), 'duplicate');
      assert.equal(await handle(store, keyOf('e2')), 'duplicate');
    },
  ],
  [
    'the same event has one effect for each consumer',
    async ({ store }) => {
      assert.equal(await handle(store, keyOf('e1')), 'handled');
      assert.equal(await handle(store, keyOf('e1', { consumer: 'shop.other' })), 'handled');
      assert.equal(await handle(store, keyOf('e1', { consumer: 'shop' })), 'handled');
    },
  ],
  [
    'ids are compared exactly as given',
    async ({ store }) => {
      for (const id of LOOK_ALIKES) assert.equal(await handle(store, keyOf(id)), 'handled', JSON.stringify(id));
      for (const id of LOOK_ALIKES) assert.equal(await handle(store, keyOf(id)), 'duplicate', JSON.stringify(id));
    },
  ],
  [
    'consumer and id are not mixed up where they meet',
    async ({ store }) => {
      assert.equal(await handle(store, keyOf('b.c', { consumer: 'a' })), 'handled');
      assert.equal(await handle(store, keyOf('c', { consumer: 'a.b' })), 'handled');
    },
  ],
  [
    'what was handled under a former name is a duplicate, and what is handled now is one for the former name',
    async ({ store }) => {
      const renamed = { consumer: 'shop.new', aliases: ['shop.old', 'shop.older'] };
      assert.equal(await handle(store, keyOf('e1', { consumer: 'shop.older' })), 'handled');
      assert.equal(await handle(store, keyOf('e1', renamed)), 'duplicate');
      assert.equal(await handle(store, keyOf('e2', renamed)), 'handled');
      assert.equal(
        await handle(store, keyOf('e2', { consumer: 'shop.old' })),
        'duplicate',
        'an instance not yet renamed',
      );
    },
  ],
  [
    'an effect that throws is forgotten, and its error comes back as it was',
    async ({ store }) => {
      for (const thrown of [new Error('declined'), 'a text', undefined, null]) {
        const key = keyOf(`thrown ${String(thrown)}`);
        const fail = async (): Promise<never> => {
          // eslint-disable-next-line @typescript-eslint/only-throw-error -- anything can be thrown
          throw thrown;
        };
        const caught = await store.once(key, fail).then(
          () => assert.fail('the error was swallowed'),
          (error: unknown) => ({ error }),
        );
        assert.equal(caught.error, thrown, 'the very error of the effect');
        assert.equal(await handle(store, key), 'handled', 'the next delivery runs it again');
      }
    },
  ],
];

/** Rules of stores whose records are in one transaction with the effects. */
export const EFFECT_RULES: readonly Rule<IdempotencyStoreHarness>[] = [
  [
    'record and effect are seen together, after the end of the effect',
    async ({ store, writeEffect, effects }) => {
      if (writeEffect === undefined || effects === undefined) return;
      await store.once(keyOf('e1'), async () => {
        await writeEffect('one');
        assert.deepEqual(await effects(), [], 'nothing is seen before the end');
      });
      assert.deepEqual(await effects(), ['one']);
    },
  ],
  [
    'an effect that throws leaves nothing behind',
    async ({ store, writeEffect, effects }) => {
      if (writeEffect === undefined || effects === undefined) return;
      const failing = store.once(keyOf('e1'), async () => {
        await writeEffect('lost');
        throw new Error('declined');
      });
      await assert.rejects(failing, /declined/);
      await store.once(keyOf('e1'), () => writeEffect('kept'));
      assert.deepEqual(await effects(), ['kept']);
    },
  ],
];

import assert from 'node:assert/strict';
import type { IdempotencyStore, OnceResult } from '../idempotency/idempotency-store.js';
import type { Rule } from './contract.js';
import { keyOf } from './idempotency-key.js';
import { handleAll } from './idempotency-store.batches.js';
import type { IdempotencyStoreHarness } from './idempotency-store.harness.js';
import { aWhile, Gate, inTime, withGate } from './waiting.js';

/** The store, and a second one where there can be one: what holds in a process must hold across processes. */
async function pairs({ store, another }: IdempotencyStoreHarness): Promise<[IdempotencyStore, IdempotencyStore][]> {
  return another === undefined
    ? [[store, store]]
    : [
        [store, store],
        [store, await another()],
      ];
}

/** Starts a call whose effect is under way when this resolves, and ends when the gate opens. */
async function begin(store: IdempotencyStore, id: string, end: Gate): Promise<{ result: Promise<OnceResult<void>> }> {
  const started = new Gate();
  const result = store.once(keyOf(id), async () => {
    started.open();
    await end.opened;
  });
  result.catch(() => undefined);
  await inTime(Promise.race([started.opened, result]), 'the effect');
  return { result };
}

export const RACE_RULES: readonly Rule<IdempotencyStoreHarness>[] = [
  [
    '20 deliveries of one event at the same time have one effect',
    async (harness) => {
      for (const [index, [one, other]] of (await pairs(harness)).entries()) {
        let effects = 0;
        const deliveries = Array.from({ length: 20 }, (_, n) =>
          (n % 2 === 0 ? one : other).once(keyOf(`e${index}`), async () => {
            effects++;
            await aWhile();
            await harness.writeEffect?.(`e${index}`);
          }),
        );
        const results = await inTime(Promise.all(deliveries), '20 deliveries');
        assert.equal(effects, 1);
        assert.equal(results.filter(({ duplicate }) => duplicate).length, 19);
      }
    },
  ],
  [
    'a second delivery waits for the first, and is a duplicate only once that is done',
    async (harness) => {
      for (const [index, [one, other]] of (await pairs(harness)).entries()) {
        await withGate(async (end) => {
          const first = await begin(one, `e${index}`, end);
          let ended = false;
          const second = other.once(keyOf(`e${index}`), async () => assert.fail('the effect ran a second time'));
          const watched = second.finally(() => (ended = true));
          await aWhile();
          assert.equal(ended, false, 'nobody knows yet whether the first one succeeds');
          end.open();
          await first.result;
          assert.deepEqual(await inTime(watched, 'the second delivery'), { duplicate: true });
        });
      }
    },
  ],
  [
    'a second delivery runs when the first one fails',
    async (harness) => {
      for (const [index, [one, other]] of (await pairs(harness)).entries()) {
        await withGate(async (end) => {
          const started = new Gate();
          const first = one.once(keyOf(`e${index}`), async () => {
            started.open();
            await end.opened;
            throw new Error('declined');
          });
          await started.opened;
          const second = other.once(keyOf(`e${index}`), async () => 'second');
          end.open();
          await assert.rejects(first, /declined/);
          assert.deepEqual(await inTime(second, 'the second delivery'), { duplicate: false, value: 'second' });
        });
      }
    },
  ],
  [
    'the wait is bounded: EVENTS_DUPLICATE_BUSY, and the event can be handled later',
    async (harness) => {
      for (const [index, [one, other]] of (await pairs(harness)).entries()) {
        await withGate(async (end) => {
          const first = await begin(one, `e${index}`, end);
          const second = other.once(keyOf(`e${index}`), async () => assert.fail('the effect ran a second time'));
          await assert.rejects(inTime(second, 'the wait'), { code: 'EVENTS_DUPLICATE_BUSY' });
          end.open();
          await first.result;
          assert.deepEqual(await other.once(keyOf(`e${index}`), async () => undefined), { duplicate: true });
        });
      }
    },
  ],
  [
    'other events are handled while many wait for one',
    async (harness) => {
      for (const [index, [one, other]] of (await pairs(harness)).entries()) {
        await withGate(async (end) => {
          const first = await begin(one, `e${index}`, end);
          const waiting = Array.from({ length: 50 }, (_, n) =>
            (n % 2 === 0 ? one : other).once(keyOf(`e${index}`), async () => undefined),
          );
          const settled = Promise.allSettled(waiting);
          for (let n = 0; n < 5; n++) {
            const free = other.once(keyOf(`free ${index} ${n}`), async () => undefined);
            assert.equal((await inTime(free, 'another event')).duplicate, false);
          }
          end.open();
          await first.result;
          const results = await inTime(settled, 'those that wait');
          // What had waited for too long says so; nothing ran a second time.
          for (const result of results) {
            if (result.status === 'fulfilled') assert.deepEqual(result.value, { duplicate: true });
            else assert.equal((result.reason as { code?: unknown }).code, 'EVENTS_DUPLICATE_BUSY');
          }
        });
      }
    },
  ],
  [
    'batches that overlap in opposite order have one effect for each event',
    async (harness) => {
      for (const [index, [one, other]] of (await pairs(harness)).entries()) {
        const ids = Array.from({ length: 20 }, (_, n) => `e${index}-${n}`);
        const handled: string[] = [];
        const effect = async (fresh: readonly string[]): Promise<void> => {
          await aWhile();
          handled.push(...fresh);
        };
        const batches = [
          handleAll(one, ids.slice(0, 15), effect),
          handleAll(other, ids.slice(5).reverse(), effect),
          handleAll(one, [...ids].reverse(), effect),
        ];
        await inTime(Promise.all(batches), 'batches that overlap');
        assert.deepEqual(handled.sort(), ids.sort());
      }
    },
  ],
  [
    'a batch waits for a single delivery of one of its events',
    async (harness) => {
      for (const [index, [one, other]] of (await pairs(harness)).entries()) {
        await withGate(async (end) => {
          const first = await begin(one, `e${index}`, end);
          const batch = handleAll(other, [`e${index}`, `f${index}`]);
          end.open();
          await first.result;
          assert.deepEqual(await batch, [`f${index}`]);
        });
      }
    },
  ],
];

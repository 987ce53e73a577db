import assert from 'node:assert/strict';
import { createEnvelope } from '../core/envelope.js';
import type { Rule } from './contract.js';
import { enrolled, entryOf, relayAll, relayOnce, TRANSPORT } from './outbox-entries.js';
import type { OutboxStoreHarness } from './outbox-store.harness.js';

/** Everything an envelope can hold that a careless store loses or changes. */
const FULL = createEnvelope({
  id: "O'Reilly 💡 $1 \\ ",
  name: 'orders.order.placed',
  source: 'shop',
  time: '2026-02-03T04:05:06.789Z',
  key: 'ü $2 ? :name',
  subject: 'order/1',
  dataschema: 'https://example.com/order.json',
  correlationId: 'correlation',
  causationId: 'cause',
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  tracestate: 'vendor=1',
  headers: { plain: 'text', bytes: Buffer.from([0, 1, 255]), several: ['a', Buffer.from([2])] },
  data: { text: 'a\u0000b "quoted"', number: 12_345_678_901.25, none: null, list: [1, [true], {}], __proto: 'x' },
});

export const ENROL_RULES: readonly Rule<OutboxStoreHarness>[] = [
  [
    'what was enrolled is handed over as it was',
    async ({ store }) => {
      const bytes = createEnvelope({ id: 'bytes', name: 'a.b', source: 'shop', data: Buffer.from([0, 200, 10]) });
      const nothing = createEnvelope({ id: 'nothing', name: 'a.b', source: 'shop', data: null });
      for (const envelope of [FULL, bytes, nothing]) await enrolled(store, { envelope, transport: TRANSPORT });
      const seen = new Map<string, unknown>();
      await relayAll(store, (id, entry) => void seen.set(id, entry.read()));
      for (const envelope of [FULL, nothing]) assert.deepEqual(seen.get(envelope.id), envelope);
      assert.deepEqual(Buffer.from((seen.get('bytes') as { data: Uint8Array }).data), Buffer.from([0, 200, 10]));
    },
  ],
  [
    'nothing is handed over before the commit, everything after it',
    async ({ store }) => {
      await store.transactional(async () => {
        await store.enrol([entryOf('a'), entryOf('b', 'key')]);
        assert.deepEqual((await relayOnce(store)).ids, []);
      });
      assert.deepEqual((await relayAll(store)).sort(), ['a', 'b']);
    },
  ],
  [
    'what was rolled back is never handed over',
    async ({ store, transaction }) => {
      const rolledBack = store.transactional(async () => {
        await store.enrol([entryOf('a', 'key')]);
        throw new Error('declined');
      });
      await assert.rejects(rolledBack, /declined/);
      if (transaction !== undefined) {
        const own = transaction(async (manager) => {
          await store.enrol([entryOf('b', 'key')], manager);
          throw new Error('declined');
        });
        await assert.rejects(own, /declined/);
      }
      await enrolled(store, entryOf('c', 'key'));
      assert.deepEqual(await relayAll(store), ['c']);
    },
  ],
  [
    "a transaction of the application's own takes entries by its handle",
    async ({ store, transaction }) => {
      if (transaction === undefined) return;
      await transaction(async (manager) => {
        await store.enrol([entryOf('a')], manager);
        assert.deepEqual((await relayOnce(store)).ids, []);
      });
      assert.deepEqual(await relayAll(store), ['a']);
    },
  ],
  [
    'what is no open transaction is refused, and nothing is written',
    async ({ store, notTransactions }) => {
      const handles = [undefined, {}, 'text', ...((await notTransactions?.()) ?? [])];
      for (const handle of handles) {
        await assert.rejects(store.enrol([entryOf('a')], handle), { code: 'EVENTS_TRANSACTION_REQUIRED' });
      }
      assert.deepEqual(await relayAll(store), []);
    },
  ],
  [
    'it knows whether the running code is in a transaction',
    async ({ store }) => {
      assert.equal(store.isTransactionOpen(), false);
      await store.transactional(async () => {
        assert.equal(store.isTransactionOpen(), true);
        await Promise.resolve();
        assert.equal(store.isTransactionOpen(), true);
      });
      assert.equal(store.isTransactionOpen(), false);
    },
  ],
  [
    'transactional() gives the result of the work, and enrolling nothing is allowed',
    async ({ store }) => {
      const result = await store.transactional(async () => {
        await store.enrol([]);
        return 'result';
      });
      assert.equal(result, 'result');
      assert.deepEqual(await relayAll(store), []);
    },
  ],
  [
    'entries that cannot be stored fail the call, and the others of it are not written',
    async ({ store }) => {
      const circular: Record<string, unknown> = {};
      circular['self'] = circular;
      const bad = createEnvelope({ id: 'bad', name: 'a.b', source: 'shop', data: circular });
      const entries = [entryOf('good'), { envelope: bad, transport: TRANSPORT }];
      await store.transactional(async () => {
        await assert.rejects(store.enrol(entries));
        await store.enrol([entryOf('after')]);
      });
      assert.deepEqual(await relayAll(store), ['after']);
    },
  ],
];

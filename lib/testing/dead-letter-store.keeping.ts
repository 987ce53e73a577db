import assert from 'node:assert/strict';
import { isEventsError } from '../core/errors.js';
import { matchesPattern } from '../core/event-name.js';
import type { DeadLetterCriteria } from '../dead-letter/dead-letter-store.js';
import type { Rule } from './contract.js';
import { claim, failedAgain, idOf, letterOf, listed, range, requested, runAll, stateOf } from './dead-letters-of.js';
import type { DeadLetterStoreHarness } from './dead-letter-store.harness.js';

/** Names that brokers carry although no publisher of ours would. */
const NAMES = ['a', 'a.b', 'a.b.c', 'a.c', 'b', 'a.b_c', 'a.bxc', 'a..c', 'a.b.c.d', 'x.a.b', 'a.$', 'a.b\n'];
const PATTERNS = ['a', 'a.*', 'a.#', '#', '*', '#.c', 'a.#.c', '*.*', 'a.*.c', '#.b.#', 'a.b_c', 'a.#.#', '*.#'];

export const KEEPING_RULES: readonly Rule<DeadLetterStoreHarness>[] = [
  [
    'a dead letter comes back as it was',
    async ({ store }) => {
      const letter = letterOf('one', 'key', { traceId: '0af7651916cd43dd8448eb211c80319c' });
      await store.add([letter]);
      const { state, storedAt, redrives, ...kept } = (await store.get(letter.id)) ?? assert.fail('it is not there');
      assert.deepEqual(plain(kept), plain(letter));
      assert.deepEqual({ state, redrives }, { state: 'waiting', redrives: 0 });
      assert.ok(Math.abs(Date.parse(storedAt) - Date.now()) < 3_600_000, storedAt);
      assert.equal(await store.get(idOf('another')), undefined);
    },
  ],
  [
    'bytes, headers and keys are kept exactly',
    async ({ store }) => {
      const bytes = Uint8Array.from(range(256));
      const headers = JSON.parse('{"__proto__":"own","constructor":"c"}') as Record<string, string>;
      const original = {
        place: { transport: 'rabbitmq', address: 'events/orders' },
        body: bytes,
        headers: {
          ...Object.fromEntries(Object.entries(headers)),
          text: 'a\u0000b \ud800 ☃ \\u0000',
          bytes,
          list: ['one', bytes, ''],
          empty: new Uint8Array(),
        },
        key: Uint8Array.of(0, 255, 128),
      };
      await store.add([
        letterOf('bytes', undefined, { original }),
        letterOf('tombstone', undefined, { original: { ...original, body: null } }),
        letterOf('empty', undefined, { original: { ...original, body: new Uint8Array(), key: new Uint8Array() } }),
      ]);
      assert.deepEqual(plain((await store.get(idOf('bytes')))?.original), plain(original));
      assert.equal((await store.get(idOf('tombstone')))?.original.body, null);
      assert.equal((await store.get(idOf('empty')))?.original.body?.byteLength, 0);
      assert.equal((await store.get(idOf('empty')))?.original.key?.byteLength, 0);
    },
  ],
  [
    'texts that a database cannot hold do not keep a dead letter out',
    async ({ store }) => {
      const bad = 'a\u0000b\ud800';
      const error = { class: bad, code: bad, message: bad, stack: bad };
      const place = { transport: bad, address: bad, position: bad };
      const letter = letterOf('bad', 'key', { event: bad, eventId: bad, error, traceId: bad });
      const long = 'x'.repeat(20_000);
      await store.add([
        { ...letter, original: { ...letter.original, place } },
        letterOf('long', long, { group: long, handler: long, event: long, eventId: long }),
        letterOf('times', 'key', { firstFailureAt: '', lastFailureAt: 'yesterday', attempts: Number.NaN }),
      ]);
      assert.equal(await store.count({}), 3);
      assert.deepEqual(plain((await store.get(letter.id))?.original.body), plain(letter.original.body));
      assert.match((await store.get(letter.id))?.error.message ?? '', /^a.b.$/u);
      assert.equal((await store.get(idOf('long')))?.eventId, long);
    },
  ],
  [
    'a dead letter is kept once, however often it is added',
    async ({ store, another }) => {
      const letters = range(5).map((n) => letterOf(`${n}`));
      const other = await another();
      await Promise.all([store.add(letters), other.add(letters.toReversed()), store.add(letters), other.add(letters)]);
      await store.add([...letters, ...letters]);
      assert.equal(await store.count({}), 5);
      assert.deepEqual(
        (await store.history(idOf('0'))).map(({ action }) => action),
        ['stored'],
      );
    },
  ],
  [
    'one that is open takes the facts of a later failure, and stays where it stands',
    async ({ store }) => {
      const letter = letterOf('one', 'key');
      await store.add([letter]);
      await requested(store);
      await store.add([failedAgain(letter)]);
      const kept = await store.get(letter.id);
      assert.equal(kept?.state, 'requested');
      assert.deepEqual([kept?.error.code, kept?.attempts], ['STILL', 1]);
      await store.add([letter]);
      assert.equal((await store.get(letter.id))?.error.code, 'STILL', 'an older failure is no news');
    },
  ],
  [
    'one that is done with and fails anew is waiting again; read once more it is not',
    async ({ store }) => {
      const letter = letterOf('one', 'key');
      await store.add([letter]);
      await requested(store);
      await runAll(store);
      await store.add([letter]);
      assert.equal(await stateOf(store, 'one'), 'redriven');
      await store.add([failedAgain(letter)]);
      assert.equal(await stateOf(store, 'one'), 'waiting');
      const actions = (await store.history(letter.id)).map(({ action }) => action);
      assert.deepEqual(actions, ['stored', 'requested', 'handled', 'stored']);
    },
  ],
  [
    'pages go through everything once, oldest first',
    async ({ store }) => {
      const names = range(25).map((n) => `${n}`);
      await store.add(names.map((name) => letterOf(name)));
      assert.deepEqual(await listed(store, {}, 10), names);
      assert.deepEqual(await listed(store, {}, 25), names);
      assert.deepEqual(await listed(store), names);
      const first = await store.list({}, { limit: 10 });
      assert.equal(first.items.length, 10);
      await store.discard({ ids: first.items.map(({ id }) => id) }, { by: 'ada' });
      const second = await store.list({}, { limit: 10, after: first.next ?? '' });
      assert.deepEqual(
        second.items.map(({ eventId }) => eventId),
        names.slice(10, 20),
      );
    },
  ],
  [
    'a page that cannot be is refused',
    async ({ store }) => {
      for (const page of [{ limit: 0 }, { limit: 1_001 }, { limit: 1.5 }, { after: 'x' }, { after: '-1' }]) {
        await assert.rejects(store.list({}, page), (error) => isEventsError(error, 'EVENTS_DEAD_LETTER_INVALID'));
      }
    },
  ],
  [
    'filters choose, and all that is given must match',
    async ({ store }) => {
      const error = { class: 'Declined', code: 'NO_MONEY', message: '' };
      await store.add([
        letterOf('a', 'k1'),
        letterOf('b', 'k2', { group: 'mail', event: 'mail.sent', error }),
        letterOf('c', 'k1', { handler: 'other', reason: 'expired', lastFailureAt: '2026-03-01T00:00:00.000Z' }),
        letterOf('d', undefined, { original: { ...letterOf('d').original, place: { transport: 'x', address: '' } } }),
      ]);
      const expected: [DeadLetterCriteria, string[]][] = [
        [{}, ['a', 'b', 'c', 'd']],
        [{ ids: [idOf('a'), idOf('d'), idOf('none')] }, ['a', 'd']],
        [{ ids: [] }, []],
        [{ group: 'mail' }, ['b']],
        [{ handler: 'other' }, ['c']],
        [{ event: 'mail.sent' }, ['b']],
        [{ event: 'orders.#' }, ['a', 'c', 'd']],
        [{ eventId: 'c' }, ['c']],
        [{ key: 'k1' }, ['a', 'c']],
        [{ key: 'k1', handler: 'other' }, ['c']],
        [{ error: 'NO_MONEY' }, ['b']],
        [{ error: 'Declined' }, ['b']],
        [{ reason: 'expired' }, ['c']],
        [{ transport: 'x' }, ['d']],
        [{ from: '2026-03-01T00:00:00Z' }, ['c']],
        [{ to: new Date('2026-03-01T00:00:00Z') }, ['a', 'b', 'd']],
        [{ state: 'discarded' }, []],
        [{ group: "mail' OR true --" }, []],
      ];
      for (const [filter, names] of expected) {
        assert.deepEqual(await listed(store, filter), names, JSON.stringify(filter));
        assert.equal(await store.count(filter), names.length, JSON.stringify(filter));
      }
      await store.discard({ ids: [idOf('a')] }, { by: 'ada' });
      assert.deepEqual(await listed(store), ['b', 'c', 'd'], 'what is done with is left out');
      assert.deepEqual(await listed(store, { state: 'discarded' }), ['a']);
      assert.deepEqual(await listed(store, { state: ['discarded', 'waiting'] }), ['a', 'b', 'c', 'd']);
    },
  ],
  [
    'patterns mean what they mean to a subscription',
    async ({ store }) => {
      await store.add([...NAMES.map((event) => letterOf(event, undefined, { event })), unnamed()]);
      for (const event of PATTERNS) {
        const expected = NAMES.filter((name) => matchesPattern(event, name));
        assert.deepEqual(await listed(store, { event }), expected, event);
      }
    },
  ],
  [
    'claims of handlers that do not run here are left alone',
    async ({ store }) => {
      await store.add([letterOf('here'), letterOf('there', undefined, { handler: 'mail.send' })]);
      await requested(store);
      assert.deepEqual(await claim(store, { consumers: [] }), []);
      assert.deepEqual(await claim(store, { consumers: ['shop.other'] }), []);
      assert.deepEqual(await claim(store, { consumers: ['shop.mail.send', 'shop.other'] }), ['there']);
      assert.deepEqual(await claim(store), ['here']);
    },
  ],
];

function unnamed(): ReturnType<typeof letterOf> {
  const { event: _, ...letter } = letterOf('unnamed');
  return letter;
}

/** Bytes are bytes, in whichever class they come; objects are compared without their prototypes. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString('hex')}`;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.entries(value)
    .map(([name, each]) => [name, plain(each)])
    .sort();
}

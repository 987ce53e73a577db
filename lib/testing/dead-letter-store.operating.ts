import assert from 'node:assert/strict';
import { isEventsError } from '../core/errors.js';
import type { DeadLetterStore, Redrive } from '../dead-letter/dead-letter-store.js';
import type { Rule } from './contract.js';
import {
  claim,
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
import type { DeadLetterStoreHarness } from './dead-letter-store.harness.js';

const names = (count: number): string[] => range(count).map((n) => `${n}`);
const filled = (store: DeadLetterStore, count: number): Promise<void> =>
  store.add(names(count).map((name) => letterOf(name)));

/** The numbers of a redrive that are not 0. */
function figures(redrive: Redrive | undefined): Record<string, number> {
  assert.ok(redrive, 'there is no such redrive');
  const { total, pending, handled, duplicates, dropped, failed, aborted } = redrive;
  const all = Object.entries({ total, pending, handled, duplicates, dropped, failed, aborted });
  return Object.fromEntries(all.filter(([, count]) => count > 0));
}

async function resultsOf(store: DeadLetterStore, redriveId: string, limit = 100): Promise<Record<string, string>> {
  const results: [string, string][] = [];
  let after: string | undefined;
  do {
    const page = await store.results(redriveId, after === undefined ? { limit } : { limit, after });
    results.push(...page.items.map(({ eventId, result }): [string, string] => [eventId ?? '', result]));
    after = page.next;
  } while (after !== undefined);
  assert.equal(new Set(results.map(([name]) => name)).size, results.length, 'a dead letter has two results');
  return Object.fromEntries(results);
}

export const OPERATOR_RULES: readonly Rule<DeadLetterStoreHarness>[] = [
  [
    'a request takes what matches and waits, and nothing else',
    async ({ store }) => {
      await filled(store, 4);
      await store.discard({ ids: [idOf('0')] }, OPERATOR);
      const first = await requested(store, ['1']);
      assert.deepEqual([first.state, first.by, first.note], ['running', 'ada', 'fixed in 1.2.3']);
      const rest = await requested(store);
      assert.deepEqual(figures(rest), { total: 2, pending: 2 });
      assert.notEqual(rest.id, first.id);
      assert.deepEqual(await statesOf(store, ...names(4)), ['discarded', 'requested', 'requested', 'requested']);
      assert.equal((await store.get(idOf('1')))?.redriveId, first.id);
      const nothing = await requested(store);
      assert.deepEqual([nothing.state, figures(nothing)], ['done', {}]);
    },
  ],
  [
    'a redrive tells how far it is, and what became of each',
    async ({ store }) => {
      await filled(store, 6);
      const { id } = await requested(store);
      await claim(store);
      await settle(store, '0', { result: 'handled' });
      await settle(store, '1', { result: 'duplicate' });
      await settle(store, '2', { result: 'dropped' });
      await settle(store, '3', { result: 'failed' });
      const running = await store.redrive(id);
      assert.equal(running?.state, 'running');
      assert.equal(running?.finishedAt, undefined);
      const counts = { total: 6, pending: 2, handled: 1, duplicates: 1, dropped: 1, failed: 1 };
      assert.deepEqual(figures(running), counts);
      const results = { 0: 'handled', 1: 'duplicate', 2: 'dropped', 3: 'failed', 4: 'pending', 5: 'pending' };
      assert.deepEqual(await resultsOf(store, id, 2), results);
      const failed = (await store.results(id, {})).items.find(({ letter }) => letter === idOf('3'));
      assert.deepEqual(failed?.error, { code: 'STILL', message: 'still out of stock' });
      await settle(store, ['4', '5']);
      const done = await store.redrive(id);
      assert.equal(done?.state, 'done');
      assert.ok(done?.finishedAt !== undefined);
      assert.deepEqual(await statesOf(store, '0', '1', '2', '3'), ['redriven', 'redriven', 'redriven', 'waiting']);
      assert.equal(await store.redrive('none'), undefined);
    },
  ],
  [
    'one that fails again waits with its new failure, and can be redriven again',
    async ({ store }) => {
      await filled(store, 1);
      const first = await requested(store);
      await claim(store);
      await settle(store, '0', { result: 'failed' });
      const again = await store.get(idOf('0'));
      assert.deepEqual(
        [again?.state, again?.error.code, again?.error.class, again?.attempts, again?.redrives],
        ['waiting', 'STILL', 'TypeError', 1, 1],
      );
      assert.equal(again?.lastFailureAt, '2026-01-02T03:05:06.789Z');
      assert.equal(Buffer.from(again?.original.body ?? []).toString(), '{"name":"0"}', 'the body is the first one');
      const second = await requested(store);
      assert.deepEqual(await runAll(store), ['0']);
      assert.equal((await store.get(idOf('0')))?.redrives, 2);
      assert.deepEqual(await resultsOf(store, first.id), { 0: 'failed' });
      assert.deepEqual(await resultsOf(store, second.id), { 0: 'handled' });
    },
  ],
  [
    'the audit says who did what, when and why',
    async ({ store }) => {
      await filled(store, 2);
      const redrive = await requested(store, ['0'], { by: 'bob', note: 'try' });
      await claim(store, { by: 'process 7' });
      await settle(store, '0', { result: 'failed', by: 'process 7' });
      await store.discard({ ids: [idOf('0')] }, { by: 'eve', note: 'not needed' });
      const history = await store.history(idOf('0'));
      assert.deepEqual(
        history.map(({ action, by, note, redriveId, error }) => [action, by, note, redriveId, error?.code]),
        [
          ['stored', '', undefined, undefined, undefined],
          ['requested', 'bob', 'try', redrive.id, undefined],
          ['failed', 'process 7', undefined, redrive.id, 'STILL'],
          ['discarded', 'eve', 'not needed', undefined, undefined],
        ],
      );
      const times = history.map(({ at }) => at);
      assert.deepEqual(times, times.toSorted());
      assert.ok(times.every((at) => !Number.isNaN(Date.parse(at))));
      assert.deepEqual(await store.history(idOf('none')), []);
    },
  ],
  [
    'discarding counts what it took, and leaves what is being redriven',
    async ({ store }) => {
      await filled(store, 5);
      await requested(store, ['0', '1']);
      await claim(store, { limit: 1 });
      assert.equal(await store.discard({}, OPERATOR), 3);
      assert.equal(await store.discard({}, OPERATOR), 0);
      assert.deepEqual((await statesOf(store, '0', '1')).sort(), ['requested', 'running']);
      assert.equal(await stateOf(store, '2'), 'discarded');
    },
  ],
  [
    'an abort leaves what has not begun waiting, and what runs comes to its end',
    async ({ store }) => {
      await filled(store, 5);
      const { id } = await requested(store);
      const [running] = await claim(store, { limit: 1 });
      const aborted = await store.abort(id, { by: 'eve', note: 'wrong' });
      assert.equal(aborted.state, 'aborted');
      assert.deepEqual(figures(aborted), { total: 5, pending: 1, aborted: 4 });
      assert.deepEqual(await claim(store), []);
      await settle(store, running as string);
      assert.deepEqual(figures(await store.redrive(id)), { total: 5, handled: 1, aborted: 4 });
      const rest = names(5).filter((name) => name !== running);
      assert.deepEqual(await statesOf(store, ...rest), ['waiting', 'waiting', 'waiting', 'waiting']);
      const last = (await store.history(idOf(rest[0] as string))).at(-1);
      assert.deepEqual([last?.action, last?.by, last?.note, last?.redriveId], ['aborted', 'eve', 'wrong', id]);
      await requested(store);
      assert.deepEqual((await runAll(store)).sort(), rest);
    },
  ],
  [
    'a redrive that is done stays done; one that is unknown cannot be aborted',
    async ({ store }) => {
      await filled(store, 1);
      const { id } = await requested(store);
      await runAll(store);
      assert.equal((await store.abort(id, OPERATOR)).state, 'done');
      await assert.rejects(store.abort('none', OPERATOR), (error) => isEventsError(error, 'EVENTS_REDRIVE_NOT_FOUND'));
    },
  ],
  [
    'of an aborted redrive, what is given back is waiting',
    async ({ store }) => {
      await filled(store, 2);
      const { id } = await requested(store);
      await claim(store);
      await store.abort(id, OPERATOR);
      await store.release([idOf('0'), idOf('1')], 'one');
      assert.deepEqual(await statesOf(store, '0', '1'), ['waiting', 'waiting']);
      assert.deepEqual(figures(await store.redrive(id)), { total: 2, aborted: 2 });
    },
  ],
  [
    'an edited event takes the place of a waiting one',
    async ({ store }) => {
      await store.add([letterOf('a1', 'a'), letterOf('a2', 'a'), letterOf('a3', 'a')]);
      const redrive = await store.replace(idOf('a1'), letterOf('a1 edited', 'a'), OPERATOR);
      assert.deepEqual(figures(redrive), { total: 1, pending: 1 });
      const old = await store.get(idOf('a1'));
      assert.deepEqual([old?.state, old?.replacedBy], ['replaced', idOf('a1 edited')]);
      assert.equal((await store.get(idOf('a1 edited')))?.replaces, idOf('a1'));
      await requested(store);
      assert.deepEqual(await runAll(store), ['a1 edited', 'a2', 'a3']);
      assert.deepEqual((await store.history(idOf('a1'))).at(-1)?.action, 'replaced');
      assert.deepEqual(await resultsOf(store, redrive.id), { 'a1 edited': 'handled' });
    },
  ],
  [
    'only a waiting one can be replaced, and by a new one',
    async ({ store }) => {
      await filled(store, 2);
      await requested(store, ['0']);
      const edited = letterOf('edited');
      const codeIs = (code: 'EVENTS_DEAD_LETTER_STATE' | 'EVENTS_DEAD_LETTER_NOT_FOUND') => (error: unknown) =>
        isEventsError(error, code);
      await assert.rejects(store.replace(idOf('0'), edited, OPERATOR), codeIs('EVENTS_DEAD_LETTER_STATE'));
      await assert.rejects(store.replace(idOf('none'), edited, OPERATOR), codeIs('EVENTS_DEAD_LETTER_NOT_FOUND'));
      await assert.rejects(store.replace(idOf('1'), letterOf('0'), OPERATOR), codeIs('EVENTS_DEAD_LETTER_STATE'));
      assert.deepEqual(await statesOf(store, '0', '1'), ['requested', 'waiting']);
      assert.equal((await store.redrives({})).items.length, 1, 'what was refused is no redrive');
    },
  ],
  [
    'redrives are listed by pages, oldest first',
    async ({ store }) => {
      await filled(store, 3);
      const ids: string[] = [];
      for (const name of names(3)) ids.push((await requested(store, [name])).id);
      const first = await store.redrives({ limit: 2 });
      assert.deepEqual(
        first.items.map(({ id }) => id),
        ids.slice(0, 2),
      );
      const second = await store.redrives({ limit: 2, after: first.next ?? '' });
      assert.deepEqual(
        second.items.map(({ id }) => id),
        ids.slice(2),
      );
      assert.equal(second.next, undefined);
    },
  ],
];

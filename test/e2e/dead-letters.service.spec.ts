import { describe, expect, test } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import {
  EventEnvelope,
  isEventsError,
  memory,
  MemoryBroker,
  OnEvent,
  OnEvents,
  outcome,
  Payload,
  type DeadLetterSelection,
  type Envelope,
  type EventsErrorCode,
  type Redrive,
} from '../../lib/index.js';
import { memoryIdempotency } from '../../lib/index.js';
import { eventually, Gate } from '../support/eventually.js';
import { useApps, type TestApp } from '../support/nest-app.js';

interface Order {
  readonly total: number | string;
}

/** Refuses everything until it is mended. */
@Injectable()
class Mails {
  broken = true;
  gate: Gate | undefined;
  readonly sent: Envelope<Order>[] = [];
  running = 0;

  @OnEvent('orders.order.*', { id: 'mails', aliases: ['old-mails'], retry: { attempts: 1 } })
  async send(@Payload() order: Order, @EventEnvelope() envelope: Envelope<Order>) {
    this.running++;
    await this.gate?.passed;
    this.running--;
    if (this.broken || typeof order.total !== 'number') throw new Error(`no mail for ${order.total}`);
    this.sent.push(envelope);
    return order.total < 0 ? outcome.drop('nothing to pay') : undefined;
  }

  @OnEvents('views.page.viewed', { id: 'views', retry: { attempts: 1 }, batch: { size: 10, waitMs: 0 } })
  async view(views: Envelope[]) {
    if (this.broken) throw new Error('no views');
    for (const each of views) this.sent.push(each as Envelope<Order>);
  }
}

const BY = { by: 'ann', note: 'after the fix' };
const start = useApps();

async function startMails(options: Parameters<typeof start>[0] = {}): Promise<{ app: TestApp; mails: Mails }> {
  const app = await start({ providers: [Mails], ...options });
  return { app, mails: app.module.get(Mails) };
}

async function fail(app: TestApp, count: number, key?: (n: number) => string): Promise<void> {
  const before = app.of('dead-lettered').length;
  for (let n = 1; n <= count; n++) {
    await app.bus.publish('orders.order.placed', { total: n }, key === undefined ? {} : { key: key(n) });
  }
  await app.saw('dead-lettered', before + count);
}

async function over(app: TestApp, { id }: Redrive): Promise<Redrive> {
  let last: Redrive | undefined;
  for await (const each of app.operators.progress(id)) last = each;
  return last as Redrive;
}

async function refused(call: Promise<unknown>): Promise<EventsErrorCode> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isEventsError(error)) throw new Error(`it did not refuse: ${String(error)}`);
  return error.code;
}

describe('DeadLetterService without a store', () => {
  test('lists pages by filter, counts, and gets one', async () => {
    const { app } = await startMails();
    await fail(app, 5, (n) => `k${n % 2}`);
    await app.bus.publish('views.page.viewed', {});
    await app.saw('dead-lettered', 6);
    const { operators } = app;
    const first = await operators.list({ handler: 'mails' }, { limit: 2 });
    const second = await operators.list({ handler: 'mails' }, { limit: 3, after: first.next as string });
    expect([...first.items, ...second.items].map(({ state, event }) => [state, event])).toEqual(
      Array.from({ length: 5 }, () => ['waiting', 'orders.order.placed']),
    );
    expect(new Set([...first.items, ...second.items].map(({ id }) => id)).size).toBe(5);
    expect(second.next).toBeUndefined();
    expect(await operators.count()).toBe(6);
    expect(await operators.count({ key: 'k1' })).toBe(3);
    expect(await operators.count({ event: 'views.#' })).toBe(1);
    expect(await operators.count({ event: 'views.#', handler: 'mails' })).toBe(0);
    expect(await operators.count({ error: 'Error', group: 'shop' })).toBe(6);
    expect(await operators.count({ error: 'TypeError' })).toBe(0);
    expect(await operators.count({ reason: 'expired' })).toBe(0);
    expect(await operators.count({ state: 'discarded' })).toBe(0);
    expect(await operators.count({ from: new Date(Date.now() + 60_000) })).toBe(0);
    expect(await operators.count({ to: new Date(Date.now() + 60_000).toISOString(), transport: 'memory' })).toBe(6);
    const { id } = first.items[0] as { id: string };
    expect(await operators.get(id)).toMatchObject({ id, handler: 'mails', history: [], redrives: 0 });
  });

  test('redrives one, some and all by filter: in order per key, to the failing handler only', async () => {
    const { app, mails } = await startMails({ options: { idempotency: memoryIdempotency() } });
    await fail(app, 20, (n) => `k${n % 3}`);
    mails.broken = false;
    const { operators } = app;
    const { items } = await operators.list();
    const one = await over(app, await operators.redrive((items[0] as { id: string }).id, BY));
    expect(one).toMatchObject({ state: 'done', ...BY, total: 1, pending: 0, handled: 1 });
    const some = await over(
      app,
      await operators.redrive(
        items.slice(1, 3).map(({ id }) => id),
        BY,
      ),
    );
    expect(some).toMatchObject({ total: 2, handled: 2 });
    const all = await over(app, await operators.redrive({ handler: 'mails' }, BY));
    expect(all).toMatchObject({ total: 17, handled: 17, failed: 0 });
    expect(await operators.count()).toBe(0);
    for (const key of ['k0', 'k1', 'k2']) {
      const totals = mails.sent.filter((each) => each.key === key).map(({ data }) => data.total as number);
      expect(totals).toEqual([...totals].sort((a, b) => a - b));
    }
    expect(mails.sent).toHaveLength(20);
    expect(app.of('redriven').map(({ result }) => result)).toEqual(Array.from({ length: 20 }, () => 'handled'));
    expect((await operators.redrives()).items.map(({ id }) => id)).toEqual([one.id, some.id, all.id]);
    expect((await operators.results(all.id, { limit: 10 })).items).toHaveLength(10);
  });

  test('a dry run tells what would be redriven and changes nothing', async () => {
    const { app } = await startMails();
    await fail(app, 3);
    const preview = await app.operators.redrive({ event: 'orders.#' }, { ...BY, dryRun: true });
    expect(preview).toMatchObject({ count: 3, items: [{ state: 'waiting' }, {}, {}] });
    expect((await app.operators.redrives()).items).toEqual([]);
    expect(app.of('redriven')).toEqual([]);
  });

  test('what fails again stays, with its new error in the results; what is dropped or a duplicate is done', async () => {
    const { app, mails } = await startMails({ options: { idempotency: memoryIdempotency() } });
    await fail(app, 1);
    await app.bus.publish('orders.order.placed', { total: -1 });
    await app.saw('dead-lettered', 2);
    mails.broken = false;
    await app.bus.publish('orders.order.placed', { total: 'much' });
    await app.saw('dead-lettered', 3);
    const done = await over(app, await app.operators.redrive({}, BY));
    expect(done).toMatchObject({ total: 3, handled: 1, dropped: 1, failed: 1 });
    const { items } = await app.operators.results(done.id);
    expect(items.find(({ result }) => result === 'failed')?.error).toMatchObject({ message: 'no mail for much' });
    expect(await app.operators.list()).toMatchObject({
      items: [{ state: 'waiting', redrives: 1, redriveId: done.id }],
    });
  });

  test('at the rate that was asked for, and what has not begun when it is aborted is waiting again', async () => {
    const { app, mails } = await startMails();
    await fail(app, 30);
    mails.broken = false;
    const redrive = await app.operators.redrive({}, { ...BY, ratePerSecond: 20 });
    await app.saw('redriven', 3);
    const ends = performance.now() + 400;
    await eventually(() => performance.now() > ends);
    const sent = app.of('redriven').length;
    expect(sent).toBeLessThan(20);
    await app.operators.abort(redrive.id, BY);
    const aborted = await over(app, redrive);
    expect(aborted).toMatchObject({ state: 'aborted', pending: 0, failed: 0 });
    expect(aborted.handled + aborted.aborted).toBe(30);
    expect(await app.operators.count({ state: 'waiting' })).toBe(aborted.aborted);
    expect(await over(app, await app.operators.redrive({}, BY))).toMatchObject({ handled: aborted.aborted });
    expect(mails.sent).toHaveLength(30);
  });

  test('two operators at once never have the same one', async () => {
    const { app, mails } = await startMails();
    await fail(app, 40, (n) => `k${n % 4}`);
    mails.broken = false;
    const both = await Promise.all([
      app.operators.redrive({}, { by: 'ann' }),
      app.operators.redrive({}, { by: 'bob' }),
    ]);
    const [ann, bob] = await Promise.all(both.map((each) => over(app, each)));
    expect((ann as Redrive).handled + (bob as Redrive).handled).toBe(40);
    expect(mails.sent).toHaveLength(40);
  });

  test('one that is being redriven can neither be redriven nor discarded', async () => {
    const { app, mails } = await startMails();
    await fail(app, 1);
    Object.assign(mails, { broken: false, gate: new Gate() });
    const { id } = (await app.operators.list()).items[0] as { id: string };
    const redrive = await app.operators.redrive(id, BY);
    await eventually(() => mails.running === 1);
    expect(await app.operators.list()).toMatchObject({ items: [{ state: 'running' }] });
    expect(await refused(app.operators.redrive(id, BY))).toBe('EVENTS_DEAD_LETTER_STATE');
    expect(await refused(app.operators.discard(id, BY))).toBe('EVENTS_DEAD_LETTER_STATE');
    expect(await app.operators.discard({}, BY)).toBe(0);
    mails.gate?.open();
    expect(await over(app, redrive)).toMatchObject({ handled: 1 });
  });

  test('an edited event has a new id, the old one as its cause, and what was not edited', async () => {
    const { app, mails } = await startMails({ options: { idempotency: memoryIdempotency() } });
    mails.broken = false;
    const headers = { tenant: 'north' };
    await app.bus.publish('orders.order.placed', { total: 'much' }, { key: 'ann', id: 'old', headers });
    await app.saw('dead-lettered');
    const { id } = (await app.operators.list()).items[0] as { id: string };
    expect(await over(app, await app.operators.editAndRedrive(id, { data: { total: 7 } }, BY))).toMatchObject({
      handled: 1,
    });
    const [envelope] = mails.sent;
    expect(envelope).toMatchObject({
      ...{ name: 'orders.order.placed', source: 'shop', key: 'ann', causationId: 'old', data: { total: 7 } },
      headers: expect.objectContaining(headers),
    });
    expect(envelope?.id).not.toBe('old');
    expect(await app.operators.count()).toBe(0);
  });

  test('an edit can change name, key and headers, and one that fails again can be edited again', async () => {
    const { app, mails } = await startMails();
    mails.broken = false;
    await app.bus.publish('orders.order.placed', { total: 'much' }, { key: 'ann' });
    await app.saw('dead-lettered');
    const letter = async (): Promise<string> => ((await app.operators.list()).items[0] as { id: string }).id;
    const edit = { data: { total: 'more' }, name: 'orders.order.changed', key: null, headers: { by: 'hand' } };
    expect(await over(app, await app.operators.editAndRedrive(await letter(), edit, BY))).toMatchObject({ failed: 1 });
    await over(app, await app.operators.editAndRedrive(await letter(), { data: { total: 8 } }, BY));
    expect(mails.sent).toMatchObject([{ name: 'orders.order.changed', data: { total: 8 }, headers: { by: 'hand' } }]);
    expect(mails.sent[0]).not.toHaveProperty('key');
    for (const wrong of [{}, { total: 1 }, { name: 'a..b' }, { headers: { 'x-y': 'z' } }, { data: 1n }]) {
      await app.bus.publish('orders.order.placed', { total: 'much' });
      await eventually(async () => (await app.operators.count()) > 0);
      expect(await refused(app.operators.editAndRedrive(await letter(), wrong as never, BY))).toBe(
        'EVENTS_DEAD_LETTER_INVALID',
      );
    }
  });

  test('discards with a reason, and reports it', async () => {
    const { app, mails } = await startMails();
    await fail(app, 3);
    const [first] = (await app.operators.list()).items;
    expect(await app.operators.discard(first?.id as string, BY)).toBe(1);
    expect(await app.operators.discard({ handler: 'mails' }, { by: 'bob', note: 'a test order' })).toBe(2);
    expect(await app.operators.count()).toBe(0);
    expect(app.of('dead-letters-discarded')).toEqual([
      { type: 'dead-letters-discarded', count: 1, by: 'ann' },
      { type: 'dead-letters-discarded', count: 2, by: 'bob' },
    ]);
    expect(mails.sent).toEqual([]);
    expect(await refused(app.operators.discard(first?.id as string, BY))).toBe('EVENTS_DEAD_LETTER_NOT_FOUND');
  });

  test('exports lines whose bytes are exact', async () => {
    const { app } = await startMails();
    await app.bus.publish('orders.order.placed', new Uint8Array([0xff, 0, 1]), {
      headers: { raw: new Uint8Array([0xfe]) },
    });
    await app.saw('dead-lettered');
    const at = Date.now();
    await eventually(() => Date.now() > at);
    await app.bus.publish('orders.order.placed', { total: 'ä\n' }, { key: 'änn' });
    await app.saw('dead-lettered', 2);
    const lines: string[] = [];
    for await (const line of app.operators.export({ handler: 'mails' })) lines.push(line);
    const [binary, text] = lines.map((line) => JSON.parse(line) as { body: unknown; headers: Record<string, unknown> });
    expect(lines.every((line) => line.indexOf('\n') === line.length - 1)).toBe(true);
    expect(binary).toMatchObject({ body: { base64: '/wAB' }, headers: { raw: { base64: '/g==' } }, state: 'waiting' });
    expect(text).toMatchObject({ body: '{"total":"ä\\n"}', key: 'änn', place: { transport: 'memory' } });
  });

  test('a batch handler gets a batch of one', async () => {
    const { app, mails } = await startMails();
    for (let n = 0; n < 3; n++) await app.bus.publish('views.page.viewed', { n });
    await app.saw('dead-lettered', 3);
    mails.broken = false;
    expect(await over(app, await app.operators.redrive({ handler: 'views' }, BY))).toMatchObject({ handled: 3 });
    expect(mails.sent).toHaveLength(3);
  });

  test('dead letters of a former handler id go to the handler as it is called now', async () => {
    const broker = new MemoryBroker();
    @Injectable()
    class OldMails {
      @OnEvent('orders.order.*', { id: 'old-mails', retry: { attempts: 1 } })
      send() {
        throw new Error('as before');
      }
    }
    const before = await start({ providers: [OldMails], options: { transports: [memory({ broker })] } });
    await before.bus.publish('orders.order.placed', { total: 3 });
    await before.saw('dead-lettered');
    await before.close();
    const { app, mails } = await startMails({ options: { transports: [memory({ broker })] } });
    mails.broken = false;
    expect(await over(app, await app.operators.redrive({ handler: 'old-mails' }, BY))).toMatchObject({ handled: 1 });
    expect(mails.sent).toMatchObject([{ data: { total: 3 } }]);
  });

  test('a process without the handler can look and discard, and is told what redriving needs', async () => {
    const broker = new MemoryBroker();
    const { app } = await startMails({ options: { transports: [memory({ broker })] } });
    await fail(app, 2);
    const other = await start({ options: { service: 'tool', transports: [memory({ broker })] } });
    const filter = { group: 'shop', handler: 'mails' };
    expect(await other.operators.count(filter)).toBe(2);
    expect(await refused(other.operators.redrive(filter, BY))).toBe('EVENTS_DEAD_LETTER_STORE_MISSING');
    expect(await other.operators.discard(filter, BY)).toBe(2);
    expect(await app.operators.count()).toBe(0);
  });

  test('shutdown ends a redrive without loss', async () => {
    const broker = new MemoryBroker();
    const first = await startMails({ options: { transports: [memory({ broker })] } });
    await fail(first.app, 10);
    Object.assign(first.mails, { broken: false, gate: new Gate() });
    await first.app.operators.redrive({}, BY);
    await eventually(() => first.mails.running === 1);
    const closed = first.app.close();
    first.mails.gate?.open();
    await closed;
    const second = await startMails({ options: { transports: [memory({ broker })] } });
    second.mails.broken = false;
    await over(second.app, await second.app.operators.redrive({}, BY));
    expect(first.mails.sent.length + second.mails.sent.length).toBe(10);
    expect(await second.app.operators.count()).toBe(0);
  });

  test('what cannot be used is refused before anything happens', async () => {
    const { app } = await startMails();
    await fail(app, 1);
    const { operators } = app;
    const selections: DeadLetterSelection[] = [
      ...[[], '', [''], undefined, null, 7, { hander: 'mails' }, { ids: 'x' }, { event: 'a..b' }].map(
        (each) => each as never,
      ),
      ...[{ state: 'gone' }, { reason: 'why' }, { from: 'soon' }, { group: 1 }, { key: 'a\u0000' }].map(
        (each) => each as never,
      ),
    ];
    for (const selection of selections) {
      expect([selection, await refused(operators.redrive(selection, BY))]).toEqual([
        selection,
        'EVENTS_DEAD_LETTER_INVALID',
      ]);
      expect(await refused(operators.discard(selection, BY))).toBe('EVENTS_DEAD_LETTER_INVALID');
    }
    for (const request of [{}, undefined, { by: '' }, { by: 'ann', ratePerSecond: 0 }, { by: 'ann', note: 1 }]) {
      expect(await refused(operators.redrive({}, request as never))).toBe('EVENTS_DEAD_LETTER_INVALID');
    }
    for (const page of [{ limit: 0 }, { limit: 1_001 }, { limit: 1.5 }, { after: 1 }]) {
      expect(await refused(operators.list({}, page as never))).toBe('EVENTS_DEAD_LETTER_INVALID');
    }
    expect(await refused(operators.get('nobody'))).toBe('EVENTS_DEAD_LETTER_NOT_FOUND');
    expect(await refused(operators.redrive('nobody', BY))).toBe('EVENTS_DEAD_LETTER_NOT_FOUND');
    expect(await refused(operators.redriveOf('nobody'))).toBe('EVENTS_REDRIVE_NOT_FOUND');
    expect(await refused(operators.results('nobody'))).toBe('EVENTS_REDRIVE_NOT_FOUND');
    expect(await refused(operators.abort('nobody', BY))).toBe('EVENTS_REDRIVE_NOT_FOUND');
    expect(await operators.count({ state: 'waiting' })).toBe(1);
  });
});

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import {
  EventEnvelope,
  memory,
  MemoryBroker,
  OnEvent,
  OnEvents,
  Payload,
  type DeadLetterService,
  type Envelope,
  type EventsModuleOptions,
  type Redrive,
} from '../../lib/index.js';
import { typeormDeadLetters, typeormIdempotency } from '../../lib/typeorm.js';
import { withBroker } from '../support/brokers.js';
import { eventually, Gate } from '../support/eventually.js';
import { useApps, type TestApp } from '../support/nest-app.js';
import { TypeormWorld } from '../support/typeorm-world.js';

const NAME = 'orders.order.placed';
const BY = { by: 'ann', note: 'after the fix' };

interface Order {
  readonly n: number;
}

/** Refuses everything until it is mended. */
@Injectable()
class Mails {
  broken = true;
  gate: Gate | undefined;
  readonly sent: Envelope<Order>[] = [];
  running = 0;

  @OnEvent(NAME, { id: 'mails', retry: { attempts: 1 } })
  async send(@Payload() _order: Order, @EventEnvelope() envelope: Envelope<Order>) {
    this.running++;
    await this.gate?.passed;
    this.running--;
    if (this.broken) throw new Error('no mail');
    this.sent.push(envelope);
  }
}

/** An order of each key: what a dead letter holds back. */
class Parking {
  broken = new Set<number>();
  readonly handled: number[] = [];

  handle(order: Order) {
    if (this.broken.has(order.n)) throw new Error(`not ${order.n}`);
    this.handled.push(order.n);
  }
}

@Injectable()
class Accounts extends Parking {
  @OnEvent(NAME, { id: 'accounts', afterDeadLetter: 'park-key', retry: { attempts: 1 } })
  post(@Payload() order: Order) {
    this.handle(order);
  }
}

@Injectable()
class Batches extends Parking {
  @OnEvents(NAME, {
    id: 'batches',
    afterDeadLetter: 'park-key',
    retry: { attempts: 1 },
    batch: { size: 5, waitMs: 20 },
  })
  post(orders: Envelope<Order>[]) {
    if (orders.some(({ data }) => this.broken.has(data.n))) throw new Error('not this batch');
    for (const { data } of orders) this.handle(data);
  }
}

withBroker('postgres', 'DATABASE_URL', (url) => {
  let world: TypeormWorld;
  let broker: MemoryBroker;
  beforeEach(async () => {
    world = await TypeormWorld.open(url);
    broker = new MemoryBroker();
  });
  const start = useApps();
  // In this order: the database last.
  afterEach(() => world.close());

  const options = (more: Partial<EventsModuleOptions> = {}): Partial<EventsModuleOptions> => {
    const { dataSource, schema } = world;
    return {
      transports: [memory({ broker })],
      concurrency: 5, // handlers at a gate hold half of the pool's connections
      idempotency: typeormIdempotency({ dataSource, schema }),
      deadLetters: { store: typeormDeadLetters({ dataSource, schema }), pollMs: 20 },
      ...more,
    };
  };
  const startMails = async (): Promise<{ app: TestApp; mails: Mails }> => {
    const app = await start({ options: options(), providers: [Mails] });
    return { app, mails: app.module.get(Mails) };
  };
  const publish = async (app: TestApp, ns: readonly number[], key?: (n: number) => string): Promise<void> => {
    for (const n of ns) await app.bus.publish(NAME, { n }, key === undefined ? {} : { key: key(n) });
  };
  const collected = (app: TestApp, count: number): Promise<unknown> =>
    eventually(async () => (await app.operators.count()) === count, { what: `${count} collected dead letters` });
  const over = async (operators: DeadLetterService, { id }: Redrive): Promise<Redrive> => {
    let last: Redrive | undefined;
    for await (const each of operators.progress(id)) last = each;
    return last as Redrive;
  };

  describe('DeadLetterService with a store', () => {
    test('dead letters are collected, redriven in order per key with one effect each, and have a history', async () => {
      const { app, mails } = await startMails();
      await publish(app, [1, 2, 3, 4, 5, 6, 7, 8, 9], (n) => `k${n % 3}`);
      await collected(app, 9);
      expect(app.of('dead-letters-collected').reduce((sum, { count }) => sum + count, 0)).toBe(9);
      mails.broken = false;
      const redrive = await over(app.operators, await app.operators.redrive({ handler: 'mails' }, BY));
      expect(redrive).toMatchObject({ state: 'done', total: 9, handled: 9, ...BY });
      for (const key of ['k0', 'k1', 'k2']) {
        const ns = mails.sent.filter((each) => each.key === key).map(({ data }) => data.n);
        expect(ns).toEqual([...ns].sort());
        expect(ns).toHaveLength(3);
      }
      expect(await app.operators.count()).toBe(0);
      const [letter] = (await app.operators.list({ state: 'redriven' })).items;
      const { history } = await app.operators.get(letter?.id as string);
      expect(history.map(({ action }) => action)).toEqual(['stored', 'requested', 'handled']);
      expect(history[1]).toMatchObject(BY);
      // Again: the handler has had it.
      expect(await app.operators.count({ state: 'waiting' })).toBe(0);
    });

    test('a process without handlers asks, the one that has them redrives', async () => {
      const { app, mails } = await startMails();
      await publish(app, [1, 2, 3]);
      await collected(app, 3);
      mails.broken = false;
      const tool = await start({ options: options({ service: 'tool', idempotency: undefined as never }) });
      const redrive = await over(tool.operators, await tool.operators.redrive({ group: 'shop' }, BY));
      expect(redrive).toMatchObject({ handled: 3 });
      expect(mails.sent).toHaveLength(3);
      expect(tool.of('redriven')).toEqual([]);
      expect(app.of('redriven')).toHaveLength(3);
    });

    test('what fails again waits again, with its new error; what was edited replaces it', async () => {
      const { app, mails } = await startMails();
      await publish(app, [1], () => 'ann');
      await collected(app, 1);
      const [before] = (await app.operators.list()).items;
      const id = before?.id as string;
      expect(await over(app.operators, await app.operators.redrive(id, BY))).toMatchObject({ failed: 1 });
      expect(await app.operators.get(id)).toMatchObject({ state: 'waiting', redrives: 1 });
      mails.broken = false;
      const edited = await app.operators.editAndRedrive(id, { data: { n: 2 } }, BY);
      expect(await over(app.operators, edited)).toMatchObject({ handled: 1 });
      expect(mails.sent).toMatchObject([{ data: { n: 2 }, key: 'ann', causationId: before?.eventId }]);
      expect(await app.operators.get(id)).toMatchObject({ state: 'replaced' });
    });

    test('one whose transport is not configured here fails with that code', async () => {
      const { app, mails } = await startMails();
      await publish(app, [1]);
      await collected(app, 1);
      await world.rows(`UPDATE ${world.schema}.dead_letters SET transport = 'elsewhere'`);
      mails.broken = false;
      const redrive = await over(app.operators, await app.operators.redrive({}, BY));
      expect(redrive).toMatchObject({ failed: 1 });
      expect((await app.operators.results(redrive.id)).items[0]?.error?.code).toBe('EVENTS_TRANSPORT_UNKNOWN');
    });

    test('shutdown gives back what has not started, and the next process goes on', async () => {
      const first = await startMails();
      await publish(
        first.app,
        Array.from({ length: 40 }, (_, n) => n),
      );
      await collected(first.app, 40);
      Object.assign(first.mails, { broken: false, gate: new Gate() });
      const { id } = await first.app.operators.redrive({}, BY);
      await eventually(() => first.mails.running === 5);
      const closed = first.app.close();
      first.mails.gate?.open();
      await closed;
      // Those that ran, and the few that took their places before the shutdown had got so far.
      expect(first.mails.sent.length).toBeLessThan(20);
      const second = await startMails();
      second.mails.broken = false;
      await eventually(async () => (await second.app.operators.redriveOf(id)).state === 'done');
      expect(first.mails.sent.length + second.mails.sent.length).toBe(40);
    });

    test('an abort leaves what has not begun waiting', async () => {
      const { app, mails } = await startMails();
      await publish(
        app,
        Array.from({ length: 50 }, (_, n) => n),
      );
      await collected(app, 50);
      Object.assign(mails, { broken: false, gate: new Gate() });
      const redrive = await app.operators.redrive({}, BY);
      await eventually(() => mails.running === 5);
      await app.operators.abort(redrive.id, BY);
      mails.gate?.open();
      const aborted = await over(app.operators, redrive);
      expect(aborted.state).toBe('aborted');
      expect(aborted.handled).toBe(mails.sent.length);
      await eventually(async () => (await app.operators.count({ state: 'waiting' })) === 50 - mails.sent.length);
    });
  });

  describe("afterDeadLetter: 'park-key'", () => {
    for (const Handler of [Accounts, Batches]) {
      test(`later events of a key follow it, in order, and are redriven in order (${Handler.name})`, async () => {
        const app = await start({ options: options(), providers: [Handler] });
        const handler = app.module.get<Parking>(Handler);
        handler.broken.add(2);
        await publish(app, [1, 2, 3, 4], () => 'ann');
        await publish(app, [11, 12], () => 'bob');
        await app.saw('parked', 2);
        await eventually(() => handler.handled.length === 3);
        expect([...handler.handled].sort((a, b) => a - b)).toEqual([1, 11, 12]);
        const { items } = await app.operators.list();
        expect(items.map(({ state }) => state)).toEqual(['waiting', 'following', 'following']);
        expect(items[1]?.error.code).toBe('EVENTS_KEY_PARKED');
        handler.broken.clear();
        await app.operators.redrive({ state: 'waiting' }, BY);
        await eventually(() => handler.handled.length === 6);
        expect(handler.handled.filter((n) => n < 10)).toEqual([1, 2, 3, 4]);
        await eventually(async () => (await app.operators.count()) === 0);
        await publish(app, [5], () => 'ann');
        await eventually(() => handler.handled.includes(5));
      });
    }

    test('while the store is away nothing of such a handler is acknowledged, and nothing is lost', async () => {
      const app = await start({ options: options(), providers: [Accounts] });
      const accounts = app.module.get(Accounts);
      await world.rows(`ALTER TABLE ${world.schema}.parked_keys RENAME TO parked_keys_away`);
      await publish(app, [1, 2], () => 'ann');
      await eventually(() => app.logger.messages('error').some((line) => line.includes('whether a key is parked')));
      expect(accounts.handled).toEqual([]);
      await world.rows(`ALTER TABLE ${world.schema}.parked_keys_away RENAME TO parked_keys`);
      await eventually(() => accounts.handled.length === 2);
      expect(accounts.handled).toEqual([1, 2]);
    });
  });
});

describe("afterDeadLetter: 'park-key' at start", () => {
  const start = useApps();

  test('needs a store', async () => {
    await expect(start({ providers: [Accounts] })).rejects.toMatchObject({
      code: 'EVENTS_DEAD_LETTER_STORE_MISSING',
      handler: 'accounts',
    });
  });

  test('needs an order', async () => {
    @Injectable()
    class Unordered {
      @OnEvent(NAME, { id: 'unordered', afterDeadLetter: 'park-key', ordering: 'none' })
      post() {
        return undefined;
      }
    }
    await expect(start({ providers: [Unordered] })).rejects.toMatchObject({
      code: 'EVENTS_HANDLER_INVALID',
      handler: 'unordered',
    });
  });
});

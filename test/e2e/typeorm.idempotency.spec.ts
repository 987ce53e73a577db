import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { DataSource, Repository } from 'typeorm';
import type { IdempotencyKey, IdempotencyStore } from '../../lib/idempotency/idempotency-store.js';
import { typeormIdempotency, type TypeormIdempotencyOptions } from '../../lib/typeorm.js';
import { TransactionContext } from '../../lib/typeorm/transaction-context.js';
import { eventually, Gate } from '../support/eventually.js';
import { Effect, TypeormWorld } from '../support/typeorm-world.js';
import { withBroker } from '../support/brokers.js';

const key = (eventId: string, rest: Partial<IdempotencyKey> = {}): IdempotencyKey => ({
  consumer: 'shop.mail',
  aliases: [],
  eventId,
  ...rest,
});

withBroker('postgres', 'DATABASE_URL', (url) => {
  describe('typeormIdempotency', () => {
    let world: TypeormWorld;
    let store: IdempotencyStore;
    let effects: Repository<Effect>;

    const open = async (dataSource: DataSource, options: TypeormIdempotencyOptions = {}): Promise<IdempotencyStore> => {
      const opened = typeormIdempotency({ dataSource, schema: world.schema, ...options }).create(world.environment());
      await opened.prepare();
      return opened;
    };

    beforeEach(async () => {
      world = await TypeormWorld.open(url);
      effects = world.dataSource.getRepository(Effect);
      store = await open(world.dataSource);
    });
    afterEach(() => world.close());

    test('the second delivery of an event is skipped', async () => {
      expect(await store.once(key('1'), () => effects.save({ id: 'a' }))).toMatchObject({ duplicate: false });
      const again = await store.once(key('1'), () => effects.save({ id: 'b' }));
      expect(again).toEqual({ duplicate: true });
      expect(await world.effects()).toEqual(['a']);
    });

    test('another consumer handles the event too', async () => {
      await store.once(key('1'), () => effects.save({ id: 'a' }));
      await store.once(key('1', { consumer: 'shop.stock' }), () => effects.save({ id: 'b' }));
      expect(await world.effects()).toEqual(['a', 'b']);
    });

    test('an effect that throws leaves nothing, its error comes back as it was, and the next delivery runs', async () => {
      const failure = new Error('mail server away');
      const failed = store.once(key('1'), async () => {
        await effects.save({ id: 'a' });
        throw failure;
      });
      await expect(failed).rejects.toBe(failure);
      expect([await world.effects(), await world.count('processed_events')]).toEqual([[], 0]);
      expect(await store.once(key('1'), () => effects.save({ id: 'a' }))).toMatchObject({ duplicate: false });
    });

    test.each([
      ['succeeds: the second is a duplicate', false, ['first']],
      ['fails: the second runs', true, ['second']],
    ])('two processes at the same time, the first %s', async (_, fails, expected) => {
      const otherSource = await world.connect();
      const other = await open(otherSource);
      const gate = new Gate();
      const first = store.once(key('1'), async () => {
        await effects.save({ id: 'first' });
        await gate.passed;
        if (fails) throw new Error('failed');
      });
      await eventually(async () => (await connectionsIn(world, 'idle in transaction')) > 0);
      const second = other.once(key('1'), () => otherSource.getRepository(Effect).save({ id: 'second' }));
      // Long enough for several slices of the wait.
      await new Promise((resolve) => setTimeout(resolve, 350));
      gate.open();
      await first.catch(() => undefined);
      expect(await second).toMatchObject({ duplicate: !fails });
      expect(await world.effects()).toEqual(expected);
    });

    test('a first that takes too long: the second gives up for now, by a code that retry knows', async () => {
      const gate = new Gate();
      const first = store.once(key('1'), () => gate.passed);
      const other = await open(await world.connect(), { waitMs: 250 });
      await eventually(
        async () =>
          (
            await world.rows(`SELECT 1 FROM pg_locks WHERE relation = $1::regclass`, [
              `${world.schema}.processed_events`,
            ])
          ).length > 0,
      );
      await expect(other.once(key('1'), () => Promise.resolve())).rejects.toMatchObject({
        code: 'EVENTS_DUPLICATE_BUSY',
      });
      gate.open();
      await first;
    });

    test('50 deliveries of one event on a pool of 5: one effect, and other events go on meanwhile', async () => {
      const small = await world.connect({ poolSize: 5, extra: { connectionTimeoutMillis: 2_000 } });
      const smallStore = await open(small, { waitMs: 20_000 });
      const gate = new Gate();
      let runs = 0;
      const same = Array.from({ length: 50 }, () =>
        smallStore.once(key('same'), async () => {
          runs++;
          await gate.passed;
          await small.getRepository(Effect).save({ id: 'same' });
        }),
      );
      const others = Array.from({ length: 20 }, (_, n) =>
        smallStore.once(key(`other-${n}`), () => small.getRepository(Effect).save({ id: `other-${n}` })),
      );
      await Promise.all(others);
      // Only the first holds a connection: the 49 wait in memory.
      await eventually(async () => (await connectionsIn(world, 'idle in transaction')) === 1);
      expect(await connectionsIn(world, 'active')).toBe(0);
      gate.open();
      const results = await Promise.all(same);
      expect(runs).toBe(1);
      expect(results.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
      expect(await world.effects()).toHaveLength(21);
    });

    test('failures let the next waiting delivery run, one at a time', async () => {
      let runs = 0;
      let running = 0;
      const results = await Promise.allSettled(
        Array.from({ length: 10 }, () =>
          store.once(key('1'), async () => {
            expect(++running).toBe(1);
            await effects.save({ id: `run-${++runs}` });
            running--;
            if (runs < 4) throw new Error('failed');
          }),
        ),
      );
      expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(3);
      expect(await world.effects()).toEqual(['run-4']);
    });

    test('what a former name of the handler has handled is handled, and the other way round', async () => {
      await store.once(key('old'), () => effects.save({ id: 'a' }));
      const renamed = { consumer: 'shop.confirmation', aliases: ['shop.mail'] };
      expect(await store.once(key('old', renamed), () => effects.save({ id: 'b' }))).toEqual({ duplicate: true });
      // An instance of the version before, during a rolling deploy.
      await store.once(key('new', renamed), () => effects.save({ id: 'c' }));
      expect(await store.once(key('new'), () => effects.save({ id: 'd' }))).toEqual({ duplicate: true });
      expect(await world.effects()).toEqual(['a', 'c']);
    });

    test.each([
      ['U+0000', 'a\u0000b'],
      ['a lone surrogate', 'a\ud800'],
      ['2,001 bytes', 'x'.repeat(2_001)],
    ])('an id with %s is a bad event, not an outage', async (_, eventId) => {
      let ran = false;
      const run = store.once(key(eventId), async () => (ran = true));
      await expect(run).rejects.toMatchObject({ code: 'EVENTS_ENVELOPE_INVALID' });
      expect(ran).toBe(false);
    });

    test('ids are kept exactly as given, up to 2,000 bytes', async () => {
      const ids = ['A', 'a', ' a', 'ä', 'a\u0308', "'; DROP TABLE x; --", '\\0', '😀'.repeat(500)];
      // Random, so that PostgreSQL cannot compress it into the index row.
      ids.push(Array.from({ length: 2_000 }, () => String.fromCharCode(33 + Math.random() * 90)).join(''));
      for (const id of ids) {
        expect(await store.once(key(id), async () => 'ran')).toEqual({ duplicate: false, value: 'ran' });
      }
      expect(await world.count('processed_events')).toBe(ids.length);
    });

    test('the wait for a duplicate does not bound the handler’s own locks', async () => {
      const [outside] = await world.rows<{ lock_timeout: string }>('SHOW lock_timeout');
      await store.once(key('1'), async () => {
        const [inside] = await world.dataSource.query<[{ lock_timeout: string }]>('SHOW lock_timeout');
        expect(inside).toEqual(outside);
      });
    });

    test('a delivery inside another’s context settles apart; inside a transaction asked for it takes part', async () => {
      const failed = store.once(key('outer'), async () => {
        await store.once(key('inner'), () => effects.save({ id: 'inner' }));
        throw new Error('outer failed');
      });
      await expect(failed).rejects.toThrow('outer failed');
      expect(await world.effects()).toEqual(['inner']);

      const context = TransactionContext.of(world.dataSource);
      const asked = context?.run(
        async () => {
          await store.once(key('part'), () => effects.save({ id: 'part' }));
          throw new Error('asked failed');
        },
        { owner: 'caller' },
      );
      await expect(asked).rejects.toThrow('asked failed');
      expect(await world.effects()).toEqual(['inner']);
      expect(await store.once(key('part'), () => effects.save({ id: 'part' }))).toMatchObject({ duplicate: false });
    });
  });
});

async function connectionsIn(world: TypeormWorld, state: string): Promise<number> {
  const rows = await world.rows(`SELECT 1 FROM pg_stat_activity WHERE state = $1 AND query LIKE $2`, [
    state,
    `%${world.schema}%`,
  ]);
  return rows.length;
}

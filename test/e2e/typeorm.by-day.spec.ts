import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { DataSource, QueryRunner } from 'typeorm';
import type { IdempotencyKey, IdempotencyStore } from '../../lib/idempotency/idempotency-store.js';
import { typeormIdempotency, type TypeormIdempotencyOptions } from '../../lib/typeorm.js';
import { withBroker } from '../support/brokers.js';
import { eventually } from '../support/eventually.js';
import { ManualClock } from '../support/manual-clock.js';
import { TypeormWorld } from '../support/typeorm-world.js';

const EVERY_MS = 1_000;
const key = (eventId: string, rest: Partial<IdempotencyKey> = {}): IdempotencyKey => ({
  consumer: 'shop.mail',
  aliases: [],
  eventId,
  ...rest,
});

withBroker('postgres', 'DATABASE_URL', (url) => {
  describe('events remembered by day', () => {
    let world: TypeormWorld;
    let clock: ManualClock;
    const running: IdempotencyStore[] = [];

    beforeEach(async () => {
      world = await TypeormWorld.open(url);
      clock = new ManualClock();
    });
    afterEach(async () => {
      for (const store of running.splice(0)) {
        await store.stop?.();
        store.close?.();
      }
      await world.close();
    });

    const open = async (options: TypeormIdempotencyOptions = {}): Promise<IdempotencyStore> => {
      const store = typeormIdempotency({ dataSource: world.dataSource, schema: world.schema, ...options }).create(
        world.environment({ clock }),
      );
      running.push(store);
      await store.prepare();
      return store;
    };
    const openByDay = (dataSource?: DataSource): Promise<IdempotencyStore> =>
      open({
        ...(dataSource === undefined ? {} : { dataSource }),
        retention: { partitionBy: 'day', everyMs: EVERY_MS },
      });
    /** One turn of the cleanup, with its tries. */
    const clean = async (store: IdempotencyStore): Promise<void> => {
      store.start?.();
      clock.advance(EVERY_MS * 1.15);
      await eventually(() => clock.pending > 0, { what: 'the end of a turn' });
    };
    /** As if the first day, in which instances without days may still run, were over. */
    const nextDay = (): Promise<unknown> =>
      world.rows(`UPDATE ${world.schema}.retention SET by_day_since = now() - interval '25 hours'`);
    const days = async (): Promise<string[]> => {
      const rows = await world.rows<{ day: string }>(
        `SELECT inhrelid::regclass::text AS day FROM pg_inherits
         WHERE inhparent = '${world.schema}.processed_events_by_day'::regclass ORDER BY 1`,
      );
      return rows.map(({ day }) => day.slice(-8));
    };
    const counts = async (): Promise<{ plain: number; byDay: number }> => ({
      plain: await world.count('processed_events'),
      byDay: await world.count('processed_events_by_day'),
    });
    /** The day that lies `offset` days from today, in UTC, as in the name of its partition. */
    const dayName = async (offset: number): Promise<string> => {
      const [row] = await world.rows<{ day: string }>(
        `SELECT to_char((now() AT TIME ZONE 'UTC')::date + $1::int, 'YYYYMMDD') AS day`,
        [offset],
      );
      return row?.day ?? '';
    };
    const addDay = async (offset: number): Promise<void> => {
      const name = `${world.schema}.processed_events_${await dayName(offset)}`;
      await world.rows(
        `DO $$ BEGIN
           EXECUTE format('CREATE TABLE ${name} PARTITION OF ${world.schema}.processed_events_by_day (PRIMARY KEY (consumer, event_id)) FOR VALUES FROM (%L) TO (%L)',
             (now() AT TIME ZONE 'UTC')::date + ${offset} || ' 00:00:00+00', (now() AT TIME ZONE 'UTC')::date + ${offset + 1} || ' 00:00:00+00');
         END $$`,
      );
    };

    test('each lies in the partition of its day; the next days are there before they are needed', async () => {
      const store = await openByDay();
      await nextDay();
      expect(await store.once(key('1'), async () => 'ran')).toEqual({ duplicate: false, value: 'ran' });
      expect(await store.once(key('1'), async () => 'ran')).toEqual({ duplicate: true });
      expect(
        await store.onceAll(
          ['1', '2', '2', '3'].map((id) => key(id)),
          async (fresh) => fresh,
        ),
      ).toMatchObject({
        fresh: [1, 3],
      });
      expect(await counts()).toEqual({ plain: 0, byDay: 3 });
      expect(await days()).toEqual(await Promise.all([0, 1, 2].map(dayName)));
      const [row] = await world.rows<{ place: string }>(
        `SELECT DISTINCT tableoid::regclass::text AS place FROM ${world.schema}.processed_events_by_day`,
      );
      expect(row?.place).toContain(await dayName(0));
    });

    test('an effect that throws leaves nothing behind; former names count', async () => {
      const store = await openByDay();
      await nextDay();
      const failed = store.once(key('1'), () => Promise.reject(new Error('failed')));
      await expect(failed).rejects.toThrow('failed');
      expect(await store.once(key('1'), async () => 'ran')).toMatchObject({ duplicate: false });
      const renamed = { consumer: 'shop.confirmation', aliases: ['shop.mail'] };
      expect(await store.once(key('1', renamed), async () => 'again')).toEqual({ duplicate: true });
      // The new name has been written too: it counts once the former is forgotten by the code.
      expect(await store.once(key('1', { consumer: 'shop.confirmation' }), async () => 'again')).toEqual({
        duplicate: true,
      });
    });

    describe('two deliveries of one event on both sides of midnight', () => {
      let before: QueryRunner;
      let after: QueryRunner;

      beforeEach(async () => {
        await openByDay();
        await nextDay();
        before = (await world.connect()).createQueryRunner();
        after = (await world.connect()).createQueryRunner();
        for (const runner of [before, after]) await runner.query('BEGIN');
      });
      afterEach(async () => {
        for (const runner of [before, after]) {
          await runner.query('ROLLBACK');
          await runner.release();
        }
      });

      const rememberAt = (runner: QueryRunner, seconds: number): Promise<unknown> =>
        runner.query(
          `SELECT ${world.schema}.remember_events_at(ARRAY['shop.mail'], ARRAY['1'],
             ((now() AT TIME ZONE 'UTC')::date + 1) AT TIME ZONE 'UTC' + make_interval(secs => $1)) AS id`,
          [seconds],
        );
      const waiting = async (): Promise<boolean> => {
        const rows = await world.rows(
          `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND wait_event = 'advisory' AND query LIKE $1`,
          [`%${world.schema}.remember_events_at%`],
        );
        return rows.length > 0;
      };

      test('the second waits, and sees what the first has committed meanwhile', async () => {
        await world.rows(`ALTER FUNCTION ${world.schema}.remember_events_at SET lock_timeout = '20s'`);
        expect(await rememberAt(before, -0.001)).toEqual([{ id: '1' }]);
        const second = rememberAt(after, 0.001);
        await eventually(waiting);
        await before.query('COMMIT');
        expect(await second).toEqual([]);
        expect(await world.count('processed_events_by_day')).toBe(1);
      });

      test('the second runs when the first is rolled back', async () => {
        await world.rows(`ALTER FUNCTION ${world.schema}.remember_events_at SET lock_timeout = '20s'`);
        expect(await rememberAt(before, -0.001)).toEqual([{ id: '1' }]);
        const second = rememberAt(after, 0.001);
        await eventually(waiting);
        await before.query('ROLLBACK');
        expect(await second).toEqual([{ id: '1' }]);
      });

      test('the wait is bounded', async () => {
        await rememberAt(before, -0.001);
        await expect(rememberAt(after, 0.001)).rejects.toMatchObject({ code: '55P03' });
      });

      test('without the lock both would be first: the lock is what holds', async () => {
        const { schema } = world;
        const [row] = await world.rows<{ body: string }>(
          `SELECT pg_get_functiondef('${schema}.remember_events_at'::regproc) AS body`,
        );
        await world.rows((row?.body ?? '').replace('PERFORM pg_advisory_xact_lock(lock);', 'NULL;'));
        expect(await rememberAt(before, -0.001)).toEqual([{ id: '1' }]);
        expect(await rememberAt(after, 0.001)).toEqual([{ id: '1' }]);
      });
    });

    test('many batches in any order on both sides of midnight: each event is first once, and nobody is stuck', async () => {
      await openByDay();
      await nextDay();
      const ids = Array.from({ length: 40 }, (_, n) => `event-${n}`);
      const firsts: string[] = [];
      const source = await world.connect({ poolSize: 8 });
      const deliver = async (batch: readonly string[], seconds: number): Promise<void> => {
        for (;;) {
          try {
            return await source.transaction('READ COMMITTED', async (manager) => {
              const rows = await manager.query<{ id: string }[]>(
                `SELECT ${world.schema}.remember_events_at(ARRAY['shop.mail'], $1,
                   ((now() AT TIME ZONE 'UTC')::date + 1) AT TIME ZONE 'UTC' + make_interval(secs => $2)) AS id`,
                [batch, seconds],
              );
              firsts.push(...rows.map(({ id }) => id));
            });
          } catch (error) {
            if ((error as { code?: string }).code !== '55P03') throw error;
          }
        }
      };
      const rotated = (by: number): string[] => [...ids.slice(by), ...ids.slice(0, by)];
      await Promise.all(
        Array.from({ length: 16 }, (_, n) =>
          deliver(n % 2 === 0 ? rotated(n) : rotated(n).reverse(), n % 4 < 2 ? -1 : 1),
        ),
      );
      expect(firsts.toSorted()).toEqual(ids.toSorted());
    });

    test('20 deliveries of one event through two instances: one effect', async () => {
      const one = await openByDay();
      const other = await openByDay(await world.connect());
      await nextDay();
      let effects = 0;
      // The wait of the stores is in the hands of their clock.
      const ticking = setInterval(() => clock.advance(50), 5);
      try {
        const results = await Promise.all(
          Array.from({ length: 20 }, (_, n) => (n % 2 === 0 ? one : other).once(key('1'), async () => ++effects)),
        );
        expect(results.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
        expect(effects).toBe(1);
      } finally {
        clearInterval(ticking);
      }
    });

    describe('changing over while instances run', () => {
      test('what the one table knows is honoured, and cleaned until it is empty', async () => {
        const plain = await open();
        await plain.once(key('old'), async () => 'ran');
        const byDay = await openByDay();
        await nextDay();
        expect(await byDay.once(key('old'), async () => 'again')).toEqual({ duplicate: true });
        await world.rows(`UPDATE ${world.schema}.processed_events SET processed_at = now() - interval '8 days'`);
        await clean(byDay);
        expect(await counts()).toEqual({ plain: 0, byDay: 0 });
      });

      test('on the first day instances without days see what those with days handle, and the other way round', async () => {
        const plain = await open();
        const byDay = await openByDay(await world.connect());
        expect(await byDay.once(key('1'), async () => 'ran')).toMatchObject({ duplicate: false });
        expect(await plain.once(key('1'), async () => 'again')).toEqual({ duplicate: true });
        expect(await plain.once(key('2'), async () => 'ran')).toMatchObject({ duplicate: false });
        expect(await byDay.once(key('2'), async () => 'again')).toEqual({ duplicate: true });
        let effects = 0;
        const ticking = setInterval(() => clock.advance(50), 5);
        try {
          await Promise.all([plain, byDay].map((store) => store.once(key('3'), async () => ++effects)));
        } finally {
          clearInterval(ticking);
        }
        expect(effects).toBe(1);
        expect(await counts()).toMatchObject({ plain: 3 });
      });

      test('after the first day the one table gets nothing more', async () => {
        const store = await openByDay();
        await store.once(key('1'), async () => 'ran');
        expect(await counts()).toEqual({ plain: 1, byDay: 1 });
        await nextDay();
        await store.once(key('2'), async () => 'ran');
        expect(await counts()).toEqual({ plain: 1, byDay: 2 });
        // Another start does not begin the first day anew.
        const restarted = await openByDay();
        await restarted.once(key('3'), async () => 'ran');
        expect(await counts()).toEqual({ plain: 1, byDay: 3 });
      });

      test('back to one table: the days that are left are honoured, and it is told', async () => {
        const byDay = await openByDay();
        await nextDay();
        await byDay.once(key('1'), async () => 'ran');
        const plain = await open();
        expect(await plain.once(key('1'), async () => 'again')).toEqual({ duplicate: true });
        expect(await plain.onceAll([key('1'), key('2')], async (fresh) => fresh)).toMatchObject({ fresh: [1] });
        expect(await counts()).toEqual({ plain: 1, byDay: 1 });
        expect(world.logger.messages('warn').join()).toContain('remembered by day');
      });
    });

    test('a day whose partition is missing is kept in the one table', async () => {
      const store = await openByDay();
      await nextDay();
      await world.rows(`DROP TABLE ${world.schema}.processed_events_${await dayName(0)}`);
      await store.once(key('1'), async () => 'ran');
      expect(await store.once(key('1'), async () => 'again')).toEqual({ duplicate: true });
      expect(await counts()).toEqual({ plain: 1, byDay: 0 });
      // The cleanup makes it; what is in the table goes on counting.
      await clean(store);
      expect(await days()).toContain(await dayName(0));
      expect(await store.once(key('1'), async () => 'again')).toEqual({ duplicate: true });
    });

    test('days that are older than the window as a whole are dropped', async () => {
      const store = await openByDay();
      for (const offset of [-7, -8, -9]) await addDay(offset);
      await clean(store);
      expect(await days()).toEqual(await Promise.all([-7, 0, 1, 2].map(dayName)));
      expect(world.activities).toEqual([{ type: 'cleaned', rows: 0, days: 2, tookMs: expect.any(Number) }]);
    });

    test('dropping waits for no handler, and comes again', async () => {
      const store = await openByDay();
      await nextDay();
      await addDay(-9);
      const handler = (await world.connect()).createQueryRunner();
      await handler.query('BEGIN');
      await handler.query(`SELECT ${world.schema}.remember_event_by_day(ARRAY['shop.mail'], 'long')`);
      const dropping = world.rows(`SELECT ${world.schema}.drop_processed_events_day(7)`);
      await expect(dropping).rejects.toMatchObject({ code: '55P03' });
      store.start?.();
      clock.advance(EVERY_MS);
      // It pauses between its tries; once the handler is done, one succeeds.
      await eventually(() => clock.pending > 0);
      expect(await days()).toHaveLength(4);
      await handler.query('COMMIT');
      await handler.release();
      await eventually(async () => {
        clock.advance(EVERY_MS);
        return (await days()).length === 3;
      });
      expect(world.logger.messages('error')).toEqual([]);
    });

    test('each look is an index probe, also into days that seem empty', async () => {
      await openByDay();
      await nextDay();
      for (const offset of [-1, -2, -3]) await addDay(offset);
      const runner = (await world.connect()).createQueryRunner();
      for (let n = 0; n < 20; n++) {
        await runner.query(`SELECT ${world.schema}.remember_events_by_day(ARRAY['shop.mail'], $1)`, [
          [`a${n}`, `b${n}`],
        ]);
      }
      await runner.query('SELECT pg_stat_force_next_flush()');
      await runner.release();
      const scans = await world.rows<{ table: number; index: number }>(
        `SELECT sum(seq_scan)::int AS table, sum(idx_scan)::int AS index FROM pg_stat_user_tables
         WHERE schemaname = $1 AND relname LIKE 'processed\\_events%'`,
        [world.schema],
      );
      expect(scans).toEqual([{ table: 0, index: expect.any(Number) }]);
      // Two ids in six days and the one table, twenty times.
      expect(scans[0]?.index).toBeGreaterThanOrEqual(280);
    });

    test('a higher isolation level is refused: it would not see what was committed during the wait', async () => {
      await expect(open({ retention: { partitionBy: 'day' }, isolationLevel: 'SERIALIZABLE' })).rejects.toMatchObject({
        code: 'EVENTS_OPTIONS_INVALID',
        message: expect.stringContaining('SERIALIZABLE') as unknown,
      });
      const runner = world.dataSource.createQueryRunner();
      await runner.startTransaction('REPEATABLE READ');
      await expect(
        runner.query(`SELECT ${world.schema}.remember_event_by_day(ARRAY['shop.mail'], '1')`),
      ).rejects.toMatchObject({ code: '0A000' });
      await runner.rollbackTransaction();
      await runner.release();
    });
  });
});

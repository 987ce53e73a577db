import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { DataSource } from 'typeorm';
import type { Activity } from '../../lib/core/activity.js';
import type { IdempotencyStore } from '../../lib/idempotency/idempotency-store.js';
import type { RetentionOptions } from '../../lib/idempotency/retention-options.js';
import { lockNumber } from '../../lib/typeorm/advisory-lock.js';
import { typeormIdempotency } from '../../lib/typeorm.js';
import { withBroker } from '../support/brokers.js';
import { eventually, Gate } from '../support/eventually.js';
import { ManualClock } from '../support/manual-clock.js';
import { useApps } from '../support/nest-app.js';
import { TypeormWorld } from '../support/typeorm-world.js';

const EVERY_MS = 1_000;

/** A store whose cleanup runs when the test says so. */
interface Instance {
  readonly store: IdempotencyStore;
  readonly clock: ManualClock;
  readonly activities: Activity[];
  /** One turn: until it waits for the next. */
  turn(): Promise<void>;
}

withBroker('postgres', 'DATABASE_URL', (url) => {
  describe('retention of handled events', () => {
    let world: TypeormWorld;
    const running: IdempotencyStore[] = [];
    const startApp = useApps();

    beforeEach(async () => {
      world = await TypeormWorld.open(url);
    });
    afterEach(async () => {
      for (const store of running.splice(0)) {
        await store.stop?.();
        store.close?.();
      }
      await world.close();
    });

    const open = async (retention: RetentionOptions | false = {}, dataSource?: DataSource): Promise<Instance> => {
      const clock = new ManualClock();
      const activities: Activity[] = [];
      const options = retention === false ? false : { everyMs: EVERY_MS, ...retention };
      const store = typeormIdempotency({
        schema: world.schema,
        dataSource: dataSource ?? world.dataSource,
        retention: options,
      }).create(world.environment({ clock, report: (activity) => void activities.push(activity) }));
      running.push(store);
      await store.prepare();
      store.start?.();
      const turn = async (): Promise<void> => {
        // Longer than the time between two turns and than every pause, shorter than two turns.
        clock.advance(EVERY_MS * 1.15);
        await eventually(() => clock.pending > 0, { what: 'the end of a turn' });
      };
      return { store, clock, activities, turn };
    };

    const insert = (prefix: string, count: number, age: string): Promise<unknown> =>
      world.rows(
        `INSERT INTO ${world.schema}.processed_events (consumer, event_id, processed_at)
         SELECT 'shop.mail', $1 || number, now() - $3::interval FROM generate_series(1, $2::int) AS number`,
        [prefix, count, age],
      );
    const left = (): Promise<number> => world.count('processed_events');

    test('what is older than the window goes, in batches, and is told; what is younger stays', async () => {
      const { turn, activities } = await open({ batchSize: 10 });
      await insert('old', 25, '7 days 1 minute');
      await insert('young', 5, '6 days 23 hours');
      for (let batch = 1; batch <= 3; batch++) await turn();
      expect(await left()).toBe(5);
      expect(activities).toEqual([{ type: 'cleaned', rows: 25, days: 0, tookMs: expect.any(Number) }]);
      expect(world.logger.messages('debug').join()).toContain('25 rows');
    });

    test('a window of one day', async () => {
      const { turn } = await open({ days: 1 });
      await insert('old', 3, '25 hours');
      await insert('young', 2, '23 hours');
      await turn();
      expect(await left()).toBe(2);
    });

    test('a forgotten event that comes again is handled again', async () => {
      const { turn, store } = await open();
      await insert('old', 1, '8 days');
      const key = { consumer: 'shop.mail', aliases: [], eventId: 'old1' };
      expect(await store.once(key, async () => 'ran')).toEqual({ duplicate: true });
      await turn();
      expect(await store.once(key, async () => 'ran')).toEqual({ duplicate: false, value: 'ran' });
    });

    test('of two instances that come at once, one cleans, and goes on after its pauses', async () => {
      const first = await open({ batchSize: 10 });
      const second = await open({ batchSize: 10 }, await world.connect());
      await insert('old', 35, '8 days');
      await first.turn();
      expect(await left()).toBe(25);
      // Nobody holds a lock now, but the first has not finished.
      await second.turn();
      expect(await left()).toBe(25);
      for (let batch = 2; batch <= 4; batch++) await first.turn();
      expect(await left()).toBe(0);
      expect([first, second].map(({ activities }) => activities.length)).toEqual([1, 0]);
      await insert('later', 5, '8 days');
      await second.turn();
      expect(await left()).toBe(0);
    });

    test('while a batch of another instance runs nothing is deleted; when that is killed, its turn is free', async () => {
      const { turn } = await open();
      await insert('old', 5, '8 days');
      const other = (await world.connect()).createQueryRunner();
      await other.query('BEGIN');
      const [{ pid }] = (await other.query('SELECT pg_backend_pid() AS pid, pg_advisory_xact_lock($1::bigint)', [
        lockNumber('cleanup', world.schema),
      ])) as [{ pid: number }];
      await other.query(
        `UPDATE ${world.schema}.retention SET cleaner = 'other', cleaner_until = now() + interval '1 hour'`,
      );
      await turn();
      expect(await left()).toBe(5);
      await world.rows('SELECT pg_terminate_backend($1)', [pid]);
      await eventually(
        async () => (await world.rows('SELECT 1 FROM pg_stat_activity WHERE pid = $1', [pid])).length === 0,
      );
      await turn();
      expect(await left()).toBe(0);
      await other.release();
    });

    test('one that died between two batches is waited for, but not for ever', async () => {
      const { turn } = await open();
      await insert('old', 5, '8 days');
      const lease = (until: string): Promise<unknown> =>
        world.rows(`UPDATE ${world.schema}.retention SET cleaner = 'other', cleaner_until = now() + $1::interval`, [
          until,
        ]);
      await lease('20 seconds');
      await turn();
      expect(await left()).toBe(5);
      await lease('-1 second');
      await turn();
      expect(await left()).toBe(0);
    });

    test('handlers go on meanwhile, also with an event that is just being forgotten', async () => {
      const { store, clock, activities } = await open({ batchSize: 500 });
      await insert('old', 20_000, '8 days');
      const { dataSource } = world;
      const gate = new Gate();
      const slow = store.once({ consumer: 'shop.mail', aliases: [], eventId: 'slow' }, () => gate.passed);
      let handled = 0;
      for (let n = 1; activities.length === 0; n++) {
        clock.advance(EVERY_MS * 1.15);
        await Promise.all(
          ['new', 'old'].map((prefix) =>
            store.once({ consumer: 'shop.mail', aliases: [], eventId: `${prefix}${n}` }, () =>
              dataSource.query(`INSERT INTO ${world.schema}.effects (id) VALUES ($1)`, [`${prefix}${n}`]),
            ),
          ),
        );
        handled++;
      }
      gate.open();
      expect(await slow).toMatchObject({ duplicate: false });
      const effects = await world.effects();
      expect(effects.filter((id) => id.startsWith('new'))).toHaveLength(handled);
      // An old one had its effect again only if it had been forgotten: either way its row is there.
      expect(
        await world.rows(`SELECT FROM ${world.schema}.processed_events WHERE processed_at < now() - interval '1 day'`),
      ).toEqual([]);
    });

    test('an error is told and does no harm; the next turn cleans', async () => {
      const { turn } = await open();
      await insert('old', 5, '8 days');
      await world.rows(`ALTER TABLE ${world.schema}.retention RENAME TO away`);
      await turn();
      expect(world.logger.messages('error').join()).toMatch(/could not be forgotten.*retention/);
      await world.rows(`ALTER TABLE ${world.schema}.away RENAME TO retention`);
      await turn();
      expect(await left()).toBe(0);
    });

    test('stopping ends it after the batch under way; `false` never begins', async () => {
      const { store, clock } = await open({ batchSize: 10 });
      await insert('old', 1_000, '8 days');
      clock.advance(EVERY_MS);
      await store.stop?.();
      expect(clock.pending).toBe(0);
      expect(await left()).toBeGreaterThanOrEqual(980);
      const never = await open(false);
      expect([never.clock.pending, never.store.retentionMs]).toEqual([0, undefined]);
    });

    test('the index finds what is old: no batch reads the table', async () => {
      const { turn } = await open({ batchSize: 1_000 });
      await insert('old', 5_000, '8 days');
      await insert('young', 20_000, '1 day');
      await world.rows(`ANALYZE ${world.schema}.processed_events`);
      for (let batch = 1; batch <= 6; batch++) await turn();
      expect(await left()).toBe(20_000);
      const scans = await eventually(async () => {
        const [row] = await world.rows<{ index: number; table: number }>(
          `SELECT seq_scan::int AS table, (SELECT idx_scan::int FROM pg_stat_user_indexes
             WHERE schemaname = $1 AND indexrelname = 'processed_events_processed_at') AS index
           FROM pg_stat_user_tables WHERE schemaname = $1 AND relname = 'processed_events'`,
          [world.schema],
        );
        return row !== undefined && row.index >= 6 && row;
      });
      // Those of the counts of this test.
      expect(scans.table).toBeLessThanOrEqual(3);
    });

    test('an application cleans while it runs, and stops with it', async () => {
      const idempotency = typeormIdempotency({
        dataSource: world.dataSource,
        schema: world.schema,
        retention: { everyMs: 20 },
      });
      const app = await startApp({ options: { idempotency } });
      await insert('old', 7, '8 days');
      await eventually(async () => (await left()) === 0);
      expect((await app.saw('cleaned')).map(({ rows }) => rows)).toEqual([7]);
      await app.close();
      await insert('late', 7, '8 days');
      expect(await left()).toBe(7);
    });

    test.each([
      [{ days: 0 }, 'retention.days'],
      [{ days: 1.5 }, 'retention.days'],
      [{ everyMs: -1 }, 'retention.everyMs'],
      [{ batchSize: 1_000_000 }, 'retention.batchSize'],
      [{ partitionBy: 'week' as 'day' }, 'retention.partitionBy'],
    ])('%j is refused', (retention, name) => {
      expect(() => typeormIdempotency({ retention })).toThrow(
        expect.objectContaining({ code: 'EVENTS_OPTIONS_INVALID', message: expect.stringContaining(name) as unknown }),
      );
    });
  });
});

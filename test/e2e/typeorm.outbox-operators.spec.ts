import { afterEach, describe, expect, test } from '@jest/globals';
import { lockNumber } from '../../lib/typeorm/advisory-lock.js';
import { withBroker } from '../support/brokers.js';
import { eventually } from '../support/eventually.js';
import { entry, failed, OutboxWorld, PARKED, PUBLISHED } from '../support/outbox-world.js';

withBroker('postgres', 'DATABASE_URL', (url) => {
  let outbox: OutboxWorld;
  afterEach(() => outbox.close());

  test('the lag tells what waits, how long, what is delayed and what is parked', async () => {
    outbox = await OutboxWorld.open(url);
    const { store } = outbox;
    expect(await store.lag()).toEqual({ waiting: 0, oldestAgeMs: undefined, delayed: 0, parked: 0 });
    await outbox.enrol(entry('a1', 'a'), entry('a2', 'a'), entry('bad'), entry('late', 'a', { delayMs: 3_600_000 }));
    await outbox.relay((data) => (data === 'bad' ? PARKED : failed(3_600_000)));
    await outbox.enrol({ ...entry('elsewhere'), transport: 'rabbitmq' });
    const { oldestAgeMs, ...counts } = await store.lag();
    expect(counts).toEqual({ waiting: 3, delayed: 1, parked: 1 });
    expect(oldestAgeMs).toBeGreaterThanOrEqual(0);
    expect(oldestAgeMs).toBeLessThan(30_000);
    const age = (what: string): Promise<unknown> =>
      outbox.typeorm.rows(`UPDATE ${outbox.table} SET created_at = now() - interval '1 hour' WHERE ${what}`);
    await age(`state = 'retrying'`);
    expect((await store.lag()).oldestAgeMs).toBeGreaterThan(3_500_000);
    await outbox.typeorm.rows(`DELETE FROM ${outbox.table} WHERE state IN ('retrying', 'held')`);
    expect((await store.lag()).oldestAgeMs).toBeLessThan(60_000);
    await age(`state = 'waiting'`);
    expect((await store.lag()).oldestAgeMs).toBeGreaterThan(3_500_000);
    // Delayed ones wait from their time on.
    await outbox.timePasses();
    expect(await store.lag()).toMatchObject({ waiting: 2, delayed: 0 });
  });

  test('published events are kept where asked, and removed by one instance at a time', async () => {
    outbox = await OutboxWorld.open(url, { keepDays: 1 });
    const { store } = outbox;
    const other = await outbox.another({ keepDays: 1 });
    await outbox.enrol(...Array.from({ length: 2_500 }, (_, n) => entry(n, `k${n % 10}`)));
    expect(await outbox.drain([store], 1_000)).toHaveLength(2_500);
    const [row] = await outbox.typeorm.rows(
      `SELECT count(*)::int AS count, min(envelope::text)::json->>'name' AS name FROM ${outbox.table}
       WHERE state = 'published' AND published_at > now() - interval '1 minute'`,
    );
    expect(row).toEqual({ count: 2_500, name: 'orders.order.placed' });
    expect(await store.lag()).toMatchObject({ waiting: 0, oldestAgeMs: undefined });

    const clean = (of = store): Promise<void> | undefined => of.clean?.(new AbortController().signal);
    await clean();
    expect(await outbox.typeorm.count('outbox')).toBe(2_500);
    await outbox.typeorm.rows(
      `UPDATE ${outbox.table} SET published_at = now() - interval '25 hours' WHERE position % 5 <> 0`,
    );
    await clean(other);
    expect(await outbox.typeorm.count('outbox')).toBe(500);
  });

  test('a commit is heard of in another process where notify is on, also after the connection was lost', async () => {
    outbox = await OutboxWorld.open(url, { notify: true });
    const other = await outbox.another({ notify: true });
    const heard: (readonly string[] | undefined)[] = [];
    const stop = other.watch((transports) => heard.push(transports));
    // It is connected.
    await eventually(() => heard.length === 1);
    await outbox.enrol(entry(1), { ...entry(2), transport: 'rabbitmq' });
    await eventually(() => heard.length === 2);
    expect(heard[1]).toEqual(['kafka', 'rabbitmq']);
    await outbox.store
      .transactional(async () => {
        await outbox.store.enrol([entry(3)]);
        throw new Error('rolled back');
      })
      .catch(() => undefined);
    await outbox.typeorm.rows(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' || $1`,
      [`${lockNumber('outbox-channel', outbox.typeorm.schema).replace('-', 'm')}"`],
    );
    // Whatever was missed meanwhile.
    await eventually(() => heard.length === 3);
    expect(heard[2]).toBeUndefined();
    await outbox.enrol(entry(4));
    await eventually(() => heard.length === 4);
    expect(heard[3]).toEqual(['kafka']);
    await stop();
    await outbox.enrol(entry(5));
    expect(heard).toHaveLength(4);
  });

  describe('looking is cheap', () => {
    /** Pages that a statement has read, by table and index. */
    const reads = async (work: () => Promise<unknown>): Promise<number> => {
      const count = async (): Promise<number> => {
        await outbox.typeorm.rows('SELECT pg_stat_force_next_flush()');
        const [row] = await outbox.typeorm.rows<{ tuples: string }>(
          `SELECT (SELECT coalesce(seq_tup_read, 0) FROM pg_stat_user_tables WHERE relid = $1::regclass)
             + (SELECT coalesce(sum(idx_tup_read), 0) FROM pg_stat_user_indexes WHERE relid = $1::regclass) AS tuples`,
          [outbox.table],
        );
        return Number(row?.tuples);
      };
      const before = await count();
      await work();
      await outbox.dataSource.query('SELECT pg_stat_force_next_flush()');
      return (await count()) - before;
    };

    test('while everything is delayed, or behind an event that failed', async () => {
      outbox = await OutboxWorld.open(url);
      const stuck = entry('stuck', 'a');
      await outbox.enrol(stuck);
      await outbox.relay(() => failed(3_600_000));
      await outbox.typeorm.rows(
        `INSERT INTO ${outbox.table} (slot, id, name, key, transport, envelope, state, not_before)
         SELECT CASE WHEN n % 2 = 0 THEN (SELECT slot FROM ${outbox.table} WHERE key = 'a') ELSE n % 64 END,
                n, 'n', CASE WHEN n % 2 = 0 THEN 'a' END, 'kafka', '{}',
                CASE WHEN n % 2 = 0 THEN 'held' ELSE 'delayed' END,
                CASE WHEN n % 2 = 1 THEN now() + interval '1 day' END
         FROM generate_series(1, 20000) AS n`,
      );
      await outbox.typeorm.rows(`VACUUM ANALYZE ${outbox.table}`);
      const pool = await outbox.typeorm.connect({ poolSize: 1 });
      const poll = await outbox.another({ dataSource: pool });
      const tuples = await reads(async () => {
        expect(await outbox.relay(() => PUBLISHED, { store: poll })).toMatchObject({ taken: 0, more: false });
        await pool.query('SELECT pg_stat_force_next_flush()');
      });
      // One at the head of each slot and state, of 20,000 rows.
      expect(tuples).toBeLessThan(200);
    });
  });
});

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { OutboxStore } from '../../lib/outbox/outbox-store.js';
import { withBroker } from '../support/brokers.js';
import { eventually, Gate } from '../support/eventually.js';
import { entry, failed, LEFT, OutboxWorld, PARKED, PUBLISHED } from '../support/outbox-world.js';

/** A number of a key, in the order in which its transactions took their turns. */
interface Numbered {
  readonly key: string;
  readonly n: number;
}

withBroker('postgres', 'DATABASE_URL', (url) => {
  let outbox: OutboxWorld;
  let store: OutboxStore;

  beforeEach(async () => {
    outbox = await OutboxWorld.open(url);
    store = outbox.store;
  });
  afterEach(() => outbox.close());

  /** The server ends the connections on which a batch is with the broker. */
  const endBatches = (): Promise<unknown> =>
    outbox.typeorm.rows(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction' AND query LIKE $1`,
      [`%${outbox.typeorm.schema}%outbox%`],
    );

  describe('several relays', () => {
    test('publish nothing twice', async () => {
      const others = [await outbox.another(), await outbox.another()];
      await outbox.enrol(...Array.from({ length: 300 }, (_, n) => entry(n, `k${n % 30}`)));
      const published = await outbox.drain([store, ...others, store]);
      expect(published).toHaveLength(300);
      expect(new Set(published).size).toBe(300);
    });

    test('work side by side, never on one line', async () => {
      const other = await outbox.another();
      await outbox.enrol(...Array.from({ length: 200 }, (_, n) => entry(n, `k${n % 100}`)));
      const [gate, both] = [new Gate(), new Gate()];
      const lines: (string | undefined)[][] = [];
      const batch = (of: OutboxStore): Promise<unknown> =>
        of.relay({
          ...{ transport: 'kafka', limit: 100, leaseMs: 60_000 },
          publish: async (entries) => {
            lines.push(entries.map(({ line }) => line));
            if (lines.length === 2) both.open();
            await gate.passed;
            return entries.map(() => PUBLISHED);
          },
        });
      const batches = [batch(store), batch(other)];
      await both.passed;
      const [first, second] = lines.map((each) => new Set(each));
      expect(first?.size).toBeGreaterThan(0);
      expect(second?.size).toBeGreaterThan(0);
      expect([...(first ?? [])].filter((line) => second?.has(line))).toEqual([]);
      gate.open();
      await Promise.all(batches);
    });

    test('keep order per key with four writers that commit late or not at all', async () => {
      const writers = await Promise.all([1, 2, 3, 4].map(() => outbox.another()));
      const relays = [store, ...(await Promise.all([1, 2].map(() => outbox.another())))];
      const numbers = new Map<string, number>();
      const published: Numbered[] = [];
      let writing = true;
      const relaying = relays.map(async (relay) => {
        for (;;) {
          const last = !writing;
          const answer = async (data: unknown) => {
            // Time for another to overtake, if it could.
            await new Promise((resolve) => setTimeout(resolve, Math.random() * 3));
            published.push(data as Numbered);
            return PUBLISHED;
          };
          const { taken } = await outbox.relay(answer, { store: relay, limit: 10 });
          if (last && taken === 0 && (await outbox.typeorm.count('outbox')) === 0) return;
        }
      });
      await Promise.all(
        writers.map(async (writer, w) => {
          for (let round = 0; round < 25; round++) {
            await writer
              .transactional(async () => {
                const key = `key ${(w * 7 + round) % 3}`;
                // The order of enrolling is that of the locks, so it is numbered behind them.
                await writer.enrol([entry({ key, n: -1 }, key)]);
                const n = numbers.get(key) ?? 0;
                await writer.enrol([entry({ key, n }, key)]);
                await new Promise((resolve) => setTimeout(resolve, Math.random() * 10));
                if (round % 5 === 4) throw new Error('rolled back');
                numbers.set(key, n + 1);
              })
              .catch((error: Error) => expect(error.message).toBe('rolled back'));
          }
        }),
      );
      writing = false;
      await Promise.all(relaying);
      for (const [key, count] of numbers) {
        const seen = published.filter((each) => each.key === key && each.n >= 0).map(({ n }) => n);
        expect(seen).toEqual(Array.from({ length: count }, (_, n) => n));
      }
      expect(published).toHaveLength(2 * [...numbers.values()].reduce((sum, count) => sum + count, 0));
    });

    test('one that dies in the middle of a batch has its events sent again, with the same ids and in order', async () => {
      const other = await outbox.another();
      await outbox.enrol(...[1, 2, 3].map((n) => entry(n, 'k')), entry('x'));
      const ids: string[] = [];
      const note = (_: unknown, taken: { read(): { id: string } }) => {
        ids.push(taken.read().id);
        return PUBLISHED;
      };
      const dying = outbox.relay(async (data, taken) => {
        if (data === 3) await endBatches();
        return note(data, taken);
      });
      await expect(dying).rejects.toThrow();
      const again = await outbox.relay(note, { store: other });
      expect(again.seen).toEqual([1, 2, 3, 'x']);
      expect(ids.slice(4)).toEqual(ids.slice(0, 4));
      expect(await outbox.typeorm.count('outbox')).toBe(0);
    });

    test('one that hangs loses its events after the lease', async () => {
      const other = await outbox.another();
      await outbox.enrol(entry(1, 'k'));
      const [gate, taken] = [new Gate(), new Gate()];
      const hanging = outbox.relay(
        async () => {
          taken.open();
          await gate.passed;
          return PUBLISHED;
        },
        { leaseMs: 1_000 },
      );
      await taken.passed;
      expect((await outbox.relay(() => PUBLISHED, { store: other })).taken).toBe(0);
      await eventually(async () => (await outbox.relay(() => PUBLISHED, { store: other })).taken === 1);
      gate.open();
      await expect(hanging).rejects.toThrow();
      expect(await outbox.typeorm.count('outbox')).toBe(0);
    });
  });

  describe('an event that is not published', () => {
    test('blocks its line only, and comes again in order', async () => {
      await outbox.enrol(entry('a1', 'a'), entry('b1', 'b'), entry('a2', 'a'), entry('loose'), entry('b2', 'b'));
      const refuse = (data: unknown) => (data === 'a1' || data === 'loose' ? failed(60_000) : PUBLISHED);
      const first = await outbox.relay(refuse);
      expect(first).toMatchObject({ taken: 5, seen: ['a1', 'b1', 'loose', 'b2'] });
      // While a1 waits, so does what is behind it, and what comes later.
      await outbox.enrol(entry('a3', 'a'), entry('c1', 'c'));
      expect(await outbox.relay()).toMatchObject({ taken: 1, seen: ['c1'] });
      expect(await outbox.states()).toEqual({ a1: 'retrying', a2: 'held', loose: 'retrying', a3: 'held' });
      const idle = await outbox.relay();
      expect(idle).toMatchObject({ taken: 0, more: false, seen: [] });
      expect(idle.nextDueInMs).toBeGreaterThan(50_000);
      expect(idle.nextDueInMs).toBeLessThanOrEqual(60_000);
      const [row] = await outbox.typeorm.rows(`SELECT attempts, last_error FROM ${outbox.table} ORDER BY position`);
      expect(row).toEqual({ attempts: 1, last_error: 'refused' });

      await outbox.timePasses();
      expect((await outbox.relay()).seen).toEqual(['a1', 'loose', 'a2', 'a3']);
      expect(await outbox.typeorm.count('outbox')).toBe(0);
    });

    test('lets its line go on bit by bit, however much is behind it', async () => {
      await outbox.enrol(...Array.from({ length: 25 }, (_, n) => entry(n, 'a')));
      const limit = 10;
      await outbox.relay(() => failed(60_000), { limit });
      // What is in the way is taken aside, so that later polls find what is due at once.
      await outbox.drain([store], limit);
      expect(new Set(Object.values(await outbox.states()).slice(1))).toEqual(new Set(['held']));
      await outbox.enrol(entry(25, 'a'));
      await outbox.timePasses();
      // A second failure in the middle: the rest waits for that one.
      const second = await outbox.relay((data) => (data === 5 ? failed(60_000) : PUBLISHED), { limit });
      expect(second.seen).toEqual([0, 1, 2, 3, 4, 5]);
      expect((await outbox.relay(undefined, { limit })).seen).toEqual([]);
      await outbox.timePasses();
      expect((await outbox.relay(() => LEFT, { limit: 1 })).taken).toBe(1);
      expect((await outbox.relay(() => LEFT, { limit: 3 })).taken).toBe(3);
      expect(await outbox.drain([store], limit)).toEqual(Array.from({ length: 21 }, (_, n) => n + 5));
    });

    test('that was left comes again at once, its line behind it', async () => {
      await outbox.enrol(entry(1, 'a'), entry(2, 'a'), entry(3));
      await outbox.relay((data) => (data === 1 ? LEFT : PUBLISHED));
      expect(await outbox.states()).toEqual({ 1: 'waiting', 2: 'waiting' });
      expect((await outbox.relay()).seen).toEqual([1, 2]);
    });

    test('holds back its key on its own transport only', async () => {
      await outbox.enrol(entry('k', 'a'), { ...entry('r', 'a'), transport: 'rabbitmq' });
      await outbox.relay(() => failed(60_000));
      expect((await outbox.relay(undefined, { transport: 'rabbitmq' })).seen).toEqual(['r']);
    });

    test('of another transport is left alone', async () => {
      await outbox.enrol({ ...entry(1, 'a'), transport: 'elsewhere' }, entry(2, 'a'));
      expect((await outbox.relay()).seen).toEqual([2]);
      expect(await outbox.states()).toEqual({ 1: 'waiting' });
      expect(await store.transports()).toEqual(['elsewhere']);
    });
  });

  describe('a parked event', () => {
    const park = async (): Promise<void> => {
      await outbox.enrol(entry('a1', 'a'), entry('a2', 'a'), entry('a3', 'a'));
      await outbox.relay((data) => (data === 'a1' ? failed(60_000) : PUBLISHED));
      await outbox.timePasses();
      await outbox.relay((data) => (data === 'a1' ? PARKED : PUBLISHED));
    };

    test('is out of its line, which goes on', async () => {
      await park();
      await outbox.enrol(entry('a4', 'a'));
      expect(await outbox.drain()).toEqual(['a2', 'a3', 'a4']);
      const [parked] = await store.parked({});
      expect(parked).toMatchObject({ event: 'orders.order.placed', transport: 'kafka', attempts: 2, error: 'refused' });
      expect(parked?.envelope).toMatchObject({ id: parked?.id, key: 'a', data: 'a1' });
      expect(parked?.parkedAt.getTime()).toBeGreaterThanOrEqual(parked?.enrolledAt.getTime() ?? Infinity);
    });

    test('is published after it was released, its failures forgotten', async () => {
      await park();
      await outbox.drain();
      const hints: unknown[] = [];
      store.watch((transports) => hints.push(transports));
      const [parked] = await store.parked({});
      expect(await store.release([parked?.id ?? '', 'unknown'])).toBe(1);
      expect(hints).toEqual([['kafka']]);
      const failures: number[] = [];
      const { seen } = await outbox.relay((_, taken) => {
        failures.push(taken.failures);
        return PUBLISHED;
      });
      expect([seen, failures, await store.parked({})]).toEqual([['a1'], [0], []]);
    });

    test('waits behind its line when it is released while that is held up', async () => {
      await park();
      await outbox.relay((data) => (data === 'a2' ? failed(60_000) : PUBLISHED));
      await store.release((await store.parked({})).map(({ id }) => id));
      expect((await outbox.relay()).seen).toEqual([]);
      await outbox.timePasses();
      expect(await outbox.drain()).toEqual(['a2', 'a1', 'a3']);
    });

    test('is gone after it was discarded; what is not parked cannot be', async () => {
      const waiting = entry('waits', 'b');
      await park();
      await outbox.drain();
      await outbox.enrol(waiting);
      const ids = (await store.parked({})).map(({ id }) => id);
      expect(await store.discard([...ids, waiting.envelope.id])).toBe(1);
      expect(await outbox.states()).toEqual({ waits: 'waiting' });
    });

    test('is listed page by page, oldest first, also when it is no envelope', async () => {
      await outbox.enrol(...[1, 2, 3].map((n) => entry(n)));
      await outbox.relay(() => PARKED);
      await outbox.typeorm.rows(`UPDATE ${outbox.table} SET envelope = '{}' WHERE envelope->>'data' = '2'`);
      const page = async (query: object) => (await store.parked(query)).map(({ envelope }) => envelope?.data);
      expect(await page({})).toEqual([1, undefined, 3]);
      expect(await page({ limit: 1, offset: 2 })).toEqual([3]);
    });
  });
});

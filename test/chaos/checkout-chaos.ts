import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../support/databases.js';
import { eventually } from '../support/eventually.js';
import { SampleAppProcess } from '../support/sample-app-process.js';
import { FIGURES } from './figures.js';

const CHECKOUTS = FIGURES.checkouts;
const KILLS = 3;
const CUSTOMERS = 20;
const EFFECTS = ['reservations', 'payments', 'emails', 'tracked_orders'] as const;

/**
 * The sample app is killed with SIGKILL in the middle of checkouts, and started again. Whoever got an answer has each
 * effect exactly once; whoever got none has each effect once or, where the order was not saved, none at all.
 */
export function checkoutChaos(transport: 'kafka' | 'rabbitmq', environment: Record<string, string>): void {
  describe(`the checkout over ${transport}, killed ${KILLS} times`, () => {
    let database: TestDatabase;
    let app: SampleAppProcess;

    beforeAll(async () => {
      database = await createDatabase(process.env['DATABASE_URL'] ?? '', `chaos_${transport}`);
      app = new SampleAppProcess({ ...environment, TRANSPORT: transport, DATABASE_URL: database.url });
      await app.start();
    });

    afterAll(async () => {
      await app.stop();
      await database.drop();
    });

    test(`each of ${CHECKOUTS} answered checkouts has each of its effects exactly once`, async () => {
      const accepted: string[] = [];
      const customers = Array.from({ length: CUSTOMERS }, (_, index) => customer(`customer-${index}`));
      const killer = killInBetween(app, () => accepted.length);
      await Promise.all(customers);
      await killer;

      async function customer(userId: string): Promise<void> {
        while (accepted.length < CHECKOUTS) {
          const orderId = await app.checkout(userId);
          if (orderId !== undefined) accepted.push(orderId);
        }
      }

      await eventually(() => allDone(database, accepted), { what: 'every effect of every order', deadlineMs: 240_000 });
      for (const table of EFFECTS) {
        const counts = await countsPerOrder(database, table);
        expect(accepted.filter((orderId) => counts.get(orderId) !== 1)).toEqual([]);
        // Orders whose answer was lost with the process, too.
        expect([...counts.values()].filter((count) => count !== 1)).toEqual([]);
      }
      expect(await statuses(database, accepted)).toEqual(new Set(['completed']));
      expect(app.kills).toBe(KILLS);
    }, 420_000);
  });
}

async function killInBetween(app: SampleAppProcess, accepted: () => number): Promise<void> {
  for (let kill = 1; kill <= KILLS; kill++) {
    const enough = (CHECKOUTS * kill) / (KILLS + 1);
    await eventually(() => accepted() >= enough, { what: `${enough} checkouts`, deadlineMs: 120_000 });
    await app.kill();
    await app.start();
  }
}

async function allDone(database: TestDatabase, accepted: readonly string[]): Promise<boolean> {
  for (const table of EFFECTS) {
    const counts = await countsPerOrder(database, table);
    if (!accepted.every((orderId) => counts.has(orderId))) return false;
  }
  const [waiting] = await database.query<{ count: string }>('SELECT count(*) FROM nestjs_events.outbox');
  return waiting?.count === '0' && (await statuses(database, accepted)).size === 1;
}

async function countsPerOrder(database: TestDatabase, table: (typeof EFFECTS)[number]): Promise<Map<string, number>> {
  const rows = await database.query<{ order: string; count: number }>(
    `SELECT "orderId" AS order, count(*)::int AS count FROM shop.${table} GROUP BY "orderId"`,
  );
  return new Map(rows.map(({ order, count }) => [order, count]));
}

async function statuses(database: TestDatabase, accepted: readonly string[]): Promise<Set<string>> {
  const rows = await database.query<{ id: string; status: string }>('SELECT id, status FROM shop.orders');
  const wanted = new Set(accepted);
  const found = rows.filter(({ id }) => wanted.has(id));
  return found.length === wanted.size ? new Set(found.map(({ status }) => status)) : new Set(['missing']);
}

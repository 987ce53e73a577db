import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { eventually } from '../support/eventually.js';
import { SampleAppProcess } from '../support/sample-app-process.js';

/** `CHAOS_CHECKOUTS=2000 npm run test:chaos` for the long form. */
const CHECKOUTS = Number(process.env['CHAOS_CHECKOUTS'] ?? 300);
const KILLS = 3;
const CUSTOMERS = 20;
const EFFECTS = ['reservations', 'payments', 'emails', 'tracked_orders'] as const;

/**
 * The sample app is killed with SIGKILL in the middle of checkouts, and started again. Whoever got an answer has each
 * effect exactly once; whoever got none has each effect once or, where the order was not saved, none at all.
 */
export function checkoutChaos(transport: 'kafka' | 'rabbitmq', environment: Record<string, string>): void {
  describe(`the checkout over ${transport}, killed ${KILLS} times`, () => {
    const database = `chaos_${transport}_${randomUUID().slice(0, 8)}`;
    const server = new URL(process.env['DATABASE_URL'] ?? '');
    const url = new URL(server);
    url.pathname = `/${database}`;
    let app: SampleAppProcess;

    beforeAll(async () => {
      await query(server, `CREATE DATABASE ${database}`);
      app = new SampleAppProcess({ ...environment, TRANSPORT: transport, DATABASE_URL: url.href });
      await app.start();
    });

    afterAll(async () => {
      await app.stop();
      await query(server, `DROP DATABASE ${database} WITH (FORCE)`);
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

      await eventually(() => allDone(url, accepted), { what: 'every effect of every order', deadlineMs: 240_000 });
      for (const table of EFFECTS) {
        const counts = await countsPerOrder(url, table);
        expect(accepted.filter((orderId) => counts.get(orderId) !== 1)).toEqual([]);
        // Orders whose answer was lost with the process, too.
        expect([...counts.values()].filter((count) => count !== 1)).toEqual([]);
      }
      expect(await statuses(url, accepted)).toEqual(new Set(['completed']));
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

async function allDone(url: URL, accepted: readonly string[]): Promise<boolean> {
  for (const table of EFFECTS) {
    const counts = await countsPerOrder(url, table);
    if (!accepted.every((orderId) => counts.has(orderId))) return false;
  }
  const [waiting] = await query<{ count: string }>(url, 'SELECT count(*) FROM nestjs_events.outbox');
  return waiting?.count === '0' && (await statuses(url, accepted)).size === 1;
}

async function countsPerOrder(url: URL, table: (typeof EFFECTS)[number]): Promise<Map<string, number>> {
  const rows = await query<{ order: string; count: number }>(
    url,
    `SELECT "orderId" AS order, count(*)::int AS count FROM shop.${table} GROUP BY "orderId"`,
  );
  return new Map(rows.map(({ order, count }) => [order, count]));
}

async function statuses(url: URL, accepted: readonly string[]): Promise<Set<string>> {
  const rows = await query<{ id: string; status: string }>(url, 'SELECT id, status FROM shop.orders');
  const wanted = new Set(accepted);
  const found = rows.filter(({ id }) => wanted.has(id));
  return found.length === wanted.size ? new Set(found.map(({ status }) => status)) : new Set(['missing']);
}

async function query<T extends pg.QueryResultRow>(url: URL, sql: string): Promise<T[]> {
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  try {
    return (await client.query<T>(sql)).rows;
  } finally {
    await client.end();
  }
}

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import {
  ActivityStream,
  EventEnvelope,
  EventsHealth,
  OnEvent,
  Payload,
  type Activity,
  type Envelope,
} from '../../lib/index.js';
import type { TransportDefinition } from '../../lib/core/transport.js';
import { createDatabase, type TestDatabase } from '../support/databases.js';
import { eventually } from '../support/eventually.js';
import { useApps, type TestApp } from '../support/nest-app.js';
import { printTable } from '../support/print-table.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { uniqueWord } from '../support/unique.js';
import { FIGURES } from './figures.js';

const { outageMs: OUTAGE_MS } = FIGURES;
const PUBLISH_EVERY_MS = 25;
const KEYS = 10;
const CONCURRENCY = 5;
const RETRY = { attempts: 2, backoff: { type: 'fixed', initialMs: 5, maxMs: 5, jitter: false } } as const;
/** The longest that a breaker stays open by default, with its jitter. */
const LONGEST_OPEN_MS = 5_000 * 1.25;
const SLACK_MS = 1_500;

interface Change {
  readonly atMs: number;
  readonly activity: Extract<Activity, { type: 'breaker' }>;
}

/** The PostgreSQL that a handler writes to is cut off and comes back. */
export function dependencyDown(kind: string, transport: () => TransportDefinition): void {
  describe(`a database that is away for ${OUTAGE_MS} ms, under a handler over ${kind}`, () => {
    const start = useApps();
    const domain = uniqueWord('outage');
    let database: TestDatabase;
    let proxy: TcpProxy;
    let pool: pg.Pool;

    beforeAll(async () => {
      database = await createDatabase(process.env['DATABASE_URL'] ?? '', 'chaos_outage');
      await database.query('CREATE TABLE stock (position int GENERATED ALWAYS AS IDENTITY, event text UNIQUE, n int)');
      const url = new URL(database.url);
      proxy = await TcpProxy.start({ host: url.hostname, port: Number(url.port) });
      url.host = `127.0.0.1:${proxy.port}`;
      pool = new pg.Pool({ connectionString: url.href, max: CONCURRENCY });
      pool.on('error', () => undefined);
    });

    afterAll(async () => {
      await pool?.end();
      await proxy?.close();
      await database?.drop();
    });

    test('costs no dead letter, and everything is handled afterwards, each key in order', async () => {
      let runs = 0;
      @Injectable()
      class Stock {
        @OnEvent(`${domain}.stock.moved`, { id: 'stock', concurrency: CONCURRENCY, retry: RETRY })
        async move(@Payload() { n }: { n: number }, @EventEnvelope() { id }: Envelope): Promise<void> {
          runs++;
          // The answer may have been lost after the commit.
          await pool.query('INSERT INTO stock (event, n) VALUES ($1, $2) ON CONFLICT DO NOTHING', [id, n]);
        }
      }
      const app = await start({
        providers: [Stock],
        options: { service: domain, transports: [transport()] },
      });
      const changes = breakerChanges(app);
      const published = publishing(app, `${domain}.stock.moved`);
      await app.saw('handled', 20);

      const cutAt = performance.now();
      proxy.refuse();
      proxy.cut();
      await app.saw('breaker');
      const [before, health] = [runs, app.module.get(EventsHealth).snapshot()];
      await sleep(OUTAGE_MS - (performance.now() - cutAt));
      const runsDuring = runs - before;
      proxy.accept();
      const backAt = performance.now();
      await eventually(() => changes.at(-1)?.activity.state === 'closed', { what: 'the breaker closes' });
      const total = await published.stop();
      await eventually(() => app.of('handled').length === total, {
        what: `handling ${total} events`,
        deadlineMs: 30_000,
      });
      const doneAt = performance.now();

      printTable(
        `A dependency away for ${Math.round(backAt - cutAt)} ms over ${kind}: the breaker`,
        changes.map(({ atMs, activity }, index) => ({
          'after the cut, ms': Math.round(atMs - cutAt),
          state: activity.state,
          'for, ms': Math.round((changes[index + 1]?.atMs ?? doneAt) - atMs),
        })),
      );
      const opened = changes.filter(({ activity }) => activity.state === 'open').length;
      printTable(`… and the events over ${kind}`, [
        {
          published: total,
          handled: app.of('handled').length,
          'dead letters': app.of('dead-lettered').length,
          'runs in the outage': runsDuring,
          'times opened': opened,
          'closed after it was back, ms': Math.round((changes.at(-1)?.atMs ?? 0) - backAt),
          'all handled after, ms': Math.round(doneAt - backAt),
        },
      ]);

      expect(app.of('dead-lettered')).toEqual([]);
      expect(new Set(app.of('retried').map(({ counts, attempt }) => `${counts} ${attempt}`))).toEqual(
        new Set(['false 1']),
      );
      // Those that ran when it broke, and one for each time that it was tried.
      expect(app.of('retried').length).toBeLessThanOrEqual(CONCURRENCY + opened);
      expect(runsDuring).toBeLessThanOrEqual(CONCURRENCY + opened);
      expect(changes.map(({ activity }) => activity.state)).toEqual(expectedStates(opened));
      expect((changes.at(-1)?.atMs ?? 0) - backAt).toBeLessThan(LONGEST_OPEN_MS + SLACK_MS);
      expect(health).toMatchObject({ status: 'degraded', handlers: [{ handler: 'stock', breaker: 'open' }] });
      expect(app.module.get(EventsHealth).snapshot()).toMatchObject({
        status: 'up',
        handlers: [{ breaker: 'closed' }],
      });

      const rows = await database.query<{ n: number }>('SELECT n FROM stock ORDER BY position');
      expect(rows).toHaveLength(total);
      for (let key = 0; key < KEYS; key++) {
        const ofKey = rows.map(({ n }) => n).filter((n) => n % KEYS === key);
        expect(ofKey).toEqual(ofKey.toSorted((a, b) => a - b));
      }
    }, 120_000);
  });
}

function breakerChanges(app: TestApp): Change[] {
  const changes: Change[] = [];
  app.module.get(ActivityStream).activities.subscribe((activity) => {
    if (activity.type === 'breaker') changes.push({ atMs: performance.now(), activity });
  });
  return changes;
}

/** open, half-open, open, half-open, …, closed */
function expectedStates(opened: number): string[] {
  return [...Array.from({ length: opened }, () => ['open', 'half-open']).flat(), 'closed'];
}

/** Publishes all the time, also while the dependency is away, until it is stopped; resolves with how many there were. */
function publishing(app: TestApp, name: string): { stop(): Promise<number> } {
  let n = 0;
  let stopped = false;
  const done = (async () => {
    while (!stopped) {
      await app.bus.publish(name, { n }, { key: `item ${n % KEYS}` });
      n++;
      await sleep(PUBLISH_EVERY_MS);
    }
  })();
  return {
    stop: async () => {
      stopped = true;
      await done;
      return n;
    },
  };
}

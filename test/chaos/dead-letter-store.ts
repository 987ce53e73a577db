import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { setTimeout as sleep } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { OnEvent, Payload } from '../../lib/index.js';
import { typeormDeadLetters } from '../../lib/typeorm.js';
import { createDatabase, type TestDatabase } from '../support/databases.js';
import { eventually, Gate } from '../support/eventually.js';
import { useApps } from '../support/nest-app.js';
import { printTable } from '../support/print-table.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import type { DeadLetterBroker } from './dead-letter-brokers.js';
import {
  Entries,
  handledIds,
  inOrder,
  isFollower,
  isFree,
  isPoison,
  POISON_COUNT,
  type Entry,
} from './dead-letter-entries.js';
import { FIGURES } from './figures.js';

const AWAY_MS = FIGURES.targetAwayMs;
const EVENTS = 200;
/** The longest wait between two tries is 10 s. */
const RECOVERY_MS = 45_000;

interface Row {
  readonly event_id: string;
  readonly state: string;
}

/** The database of the dead letters is away for a while, under a handler that keeps back the keys of dead letters. */
export function deadLetterStoreAway(server: string, create: () => DeadLetterBroker): void {
  describe(`a database of dead letters that is away for ${AWAY_MS} ms, under a handler over ${create().kind}`, () => {
    const start = useApps();
    let broker: DeadLetterBroker;
    let database: TestDatabase;
    let proxy: TcpProxy;
    let dataSource: DataSource;

    beforeEach(async () => {
      broker = create();
      database = await createDatabase(server, 'chaos_letters');
      const url = new URL(database.url);
      proxy = await TcpProxy.start({ host: url.hostname, port: Number(url.port) });
      url.host = `127.0.0.1:${proxy.port}`;
      dataSource = await new DataSource({ type: 'postgres', url: url.href }).initialize();
    });
    afterEach(async () => {
      await dataSource?.destroy();
      await proxy?.close();
      await broker?.close();
      await database?.drop();
    });

    test("loses nothing: with afterDeadLetter: 'park-key' the events wait for it", async () => {
      const { group, kind } = broker;
      const runs: number[] = [];
      // It runs when the database goes.
      const first = [...Array(EVENTS).keys()].findIndex(isPoison);
      const gate = new Gate();
      @Injectable()
      class Ledger {
        @OnEvent(`${group}.entry.made`, { id: 'book', afterDeadLetter: 'park-key', retry: { attempts: 1 } })
        async book(@Payload() { n }: Entry): Promise<void> {
          runs.push(n);
          if (n === first) await gate.passed;
          if (isPoison(n)) throw new Error(`entry ${n} cannot be booked`);
        }
      }
      const app = await start({
        providers: [Ledger],
        options: {
          ...{ service: group, transports: [broker.transport()] },
          deadLetters: { store: typeormDeadLetters({ dataSource }), pollMs: 100 },
        },
      });
      const entries = new Entries(app, `${group}.entry.made`);
      await entries.publish(0, first + 1);
      await eventually(() => runs.length === first + 1 && app.of('handled').length === first, {
        what: 'the first poison event runs, and what was before it is handled',
      });

      proxy.refuse();
      proxy.cut();
      const awayAt = performance.now();
      await entries.publish(first + 1, EVENTS);
      gate.open();
      await app.saw('dead-letter-failed');
      const alarmedAt = performance.now();
      await eventually(() => app.logger.messages('error').some((line) => line.includes('whether a key is parked')));
      const kept = new Set(entries.idsOf((n) => n >= first));
      await eventually(() => broker.keepsOnly(kept), { what: 'nothing is acknowledged' });
      await sleep(AWAY_MS - (performance.now() - awayAt));
      expect(await broker.keepsOnly(kept)).toBe(true);
      const tries = app.of('dead-letter-failed').length;
      expect([...app.of('dead-lettered'), ...app.of('parked')]).toEqual([]);
      expect(app.of('handled')).toHaveLength(first);
      expect(runs).toHaveLength(first + 1);
      const alarms = app.logger.messages('error').filter((line) => line.includes('It is not acknowledged'));
      expect(alarms.length).toBeGreaterThan(0);
      expect(app.logger.messages('error').filter((line) => line.includes('not acknowledged'))).toHaveLength(tries);

      proxy.accept();
      const backAt = performance.now();
      const [free, followers] = [entries.idsOf(isFree), entries.idsOf(isFollower)];
      const settled = (): number => app.of('handled').length + app.of('parked').length + app.of('dead-lettered').length;
      await eventually(() => settled() >= EVENTS, { what: 'everything has its outcome', deadlineMs: RECOVERY_MS });
      const doneAt = performance.now();
      await eventually(() => broker.keepsOnly(new Set()), { what: 'everything is acknowledged' });
      const rows = await database.query<Row>('SELECT event_id, state FROM nestjs_events.dead_letters');
      const inState = (state: string): string[] => rows.filter((row) => row.state === state).map((row) => row.event_id);
      printTable(`The database of the dead letters away for ${Math.round(backAt - awayAt)} ms, over ${kind}`, [
        {
          published: EVENTS,
          'kept meanwhile': kept.size,
          'settled meanwhile': 0,
          'first alarm, ms': Math.round(alarmedAt - awayAt),
          'tries that failed': tries,
          handled: app.of('handled').length,
          'dead letters': inState('waiting').length,
          following: inState('following').length,
          'done after it was back, ms': Math.round(doneAt - backAt),
        },
      ]);

      expect(rows).toHaveLength(POISON_COUNT + followers.length);
      expect(inState('waiting').sort()).toEqual(entries.idsOf(isPoison));
      expect(inState('following').sort()).toEqual(followers);
      const parked = await database.query<{ key: string }>(
        `SELECT convert_from(key, 'UTF8') AS key FROM nestjs_events.parked_keys ORDER BY 1`,
      );
      expect(parked.map(({ key }) => key)).toEqual(['key-0', 'key-1', 'key-2', 'key-3', 'key-4']);
      expect(handledIds(app)).toEqual(free);
      expect(runs).toHaveLength(free.length + POISON_COUNT);
      expect(inOrder(runs)).toBe(true);
    }, 180_000);
  });
}

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Redrive } from '../../lib/index.js';
import { kafka } from '../../lib/kafka.js';
import { withBroker } from '../support/brokers.js';
import { createDatabase, type TestDatabase } from '../support/databases.js';
import { eventually } from '../support/eventually.js';
import { NodeChild, type ChildReport } from '../support/node-child.js';
import { printTable } from '../support/print-table.js';
import { subscriptionOf } from '../support/test-consumer.js';
import { TransportWorld } from '../support/transport-world.js';
import { uniqueWord } from '../support/unique.js';
import { FIGURES } from './figures.js';

const EVENTS = FIGURES.redrivenEvents;
const KEYS = 50;

interface Report extends ChildReport {
  readonly step: 'ready' | 'progress' | 'over';
  readonly redrive?: Redrive;
}

withBroker('postgres', 'DATABASE_URL', (server) => {
  withBroker('kafka', 'KAFKA_BROKERS', (brokers) => {
    describe(`a redrive of ${EVENTS} dead letters after a fix`, () => {
      const options = { brokers: brokers.split(','), sessionTimeoutMs: 6_000, heartbeatIntervalMs: 1_000 };
      const world = new TransportWorld();
      const service = uniqueWord('bank');
      const children: NodeChild<Report>[] = [];
      let database: TestDatabase;

      const start = (script: string, task: object): NodeChild<Report> => {
        const common = { transport: { kind: 'kafka', options }, databaseUrl: database.url, service };
        const child = new NodeChild<Report>(`test/chaos/children/${script}.child.mjs`, { ...common, ...task });
        children.push(child);
        return child;
      };
      const worker = (broken: boolean): NodeChild<Report> => start('redrive-worker', { broken });
      const operator = (by: string): NodeChild<Report> => start('redrive-operator', { by });
      const ready = (child: NodeChild<Report>): Promise<void> =>
        child.reaches((reports) => reports.some(({ step }) => step === 'ready'), 'it is ready');
      const over = (child: NodeChild<Report>): Promise<void> =>
        child.reaches((reports) => reports.some(({ step }) => step === 'over'), 'its redrive is over', 600_000);
      const count = async (sql: string): Promise<number> =>
        (await database.query<{ count: number }>(`SELECT count(*)::int AS count FROM ${sql}`))[0]?.count ?? 0;
      const effects = (): Promise<number> => count('effects');

      beforeAll(async () => {
        database = await createDatabase(server, 'chaos_redrive');
        await database.query(
          'CREATE TABLE effects (position bigserial, event text NOT NULL, key text NOT NULL, n int NOT NULL)',
        );
        const publisher = await world.open(kafka(options));
        const name = `${service}.entry.made`;
        await publisher.transport.declare([subscriptionOf({ group: service, id: 'post', patterns: [name] })]);
        const broken = worker(true);
        await ready(broken);
        for (let n = 0; n < EVENTS; n += KEYS) {
          const some = Array.from({ length: Math.min(KEYS, EVENTS - n) }, (_, index) => n + index);
          await Promise.all(some.map((each) => publisher.publish(name, { n: each }, { key: `k${each % KEYS}` })));
        }
        await eventually(async () => (await count('nestjs_events.dead_letters')) === EVENTS, {
          what: `${EVENTS} collected dead letters`,
          deadlineMs: 240_000,
        }).catch((error: unknown) => {
          throw new Error(`${String(error)}\n${broken.errors.slice(-2_000)}`, { cause: error });
        });
        // Not killed: what it had not committed by then would come again from the broker, beside the redrive.
        expect(await broken.stop()).toBe('SIGTERM');
      }, 300_000);

      afterAll(async () => {
        await Promise.all(children.map((child) => child.kill()));
        await world.close();
        await database?.drop();
      });

      test('has each effect once and keeps the order of each key, whoever is killed meanwhile', async () => {
        const workers = [worker(false), worker(false)];
        await Promise.all(workers.map(ready));
        const begin = performance.now();
        // Two operators at once. One of them and one of the workers are killed half-way, and started again.
        const [ann, bob] = [operator('ann'), operator('bob')];
        await eventually(async () => (await effects()) >= EVENTS / 4, { deadlineMs: 120_000, what: 'a quarter' });
        await ann.kill();
        const again = operator('ann');
        await eventually(async () => (await effects()) >= EVENTS / 2, { deadlineMs: 120_000, what: 'a half' });
        await workers[0]?.kill();
        workers[0] = worker(false);
        await Promise.all([over(again), over(bob)]);
        const seconds = (performance.now() - begin) / 1_000;

        const rows = await database.query<{ event: string; key: string; n: number }>(
          'SELECT event, key, n FROM effects ORDER BY position',
        );
        const redrives = await database.query<{ result: string; count: number }>(
          `SELECT action AS result, count(*)::int AS count FROM nestjs_events.dead_letter_actions GROUP BY action ORDER BY action`,
        );
        printTable('A redrive with two operators, one of them and a worker killed and started again', [
          {
            'dead letters': EVENTS,
            effects: rows.length,
            'open afterwards': await count(`nestjs_events.dead_letters WHERE state <> 'redriven'`),
            seconds: Math.round(seconds),
            audit: redrives.map(({ result, count: times }) => `${times} ${result}`).join(', '),
          },
        ]);
        expect(rows).toHaveLength(EVENTS);
        expect(new Set(rows.map(({ event }) => event)).size).toBe(EVENTS);
        const last = new Map<string, number>();
        for (const { key, n } of rows) {
          expect([key, n > (last.get(key) ?? -1)]).toEqual([key, true]);
          last.set(key, n);
        }
        expect(await count(`nestjs_events.dead_letters WHERE state <> 'redriven'`)).toBe(0);
        const totals = [again, bob].map(
          ({ reports }) => reports.findLast(({ redrive }) => redrive)?.redrive as Redrive,
        );
        expect(totals.every(({ pending, failed, aborted }) => pending + failed + aborted === 0)).toBe(true);
      }, 900_000);
    });
  });
});

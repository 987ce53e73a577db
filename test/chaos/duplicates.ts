import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { TransportDefinition } from '../../lib/core/transport.js';
import { createDatabase, type TestDatabase } from '../support/databases.js';
import { eventually } from '../support/eventually.js';
import { NodeChild, type ChildReport } from '../support/node-child.js';
import { printTable } from '../support/print-table.js';
import { Random } from '../support/random.js';
import { subscriptionOf } from '../support/test-consumer.js';
import { TransportWorld, type TestTransport } from '../support/transport-world.js';
import { uniqueWord } from '../support/unique.js';
import { FIGURES, SEED } from './figures.js';

const EVENTS = FIGURES.racingEvents;
const COPIES = 3;
const INSTANCES = 4;
const SENT_AT_ONCE = 500;

interface Report extends ChildReport {
  readonly step: 'ready' | 'settled';
  /** How many activities of a type there have been. */
  readonly settled?: { readonly handled?: number; readonly duplicate?: number };
}

/**
 * Each event is delivered three times, in random order, to a consumer of four processes. Every copy has a key of its
 * own, so that no lane and no partition keeps it from running beside the others. Each event has one effect.
 */
export function manyDuplicates(
  definition: TransportDefinition,
  transport: { readonly kind: string; readonly options: unknown },
): void {
  describe(`${EVENTS} events, each delivered ${COPIES} times over ${transport.kind} to ${INSTANCES} processes`, () => {
    const world = new TransportWorld();
    const service = uniqueWord('race');
    let database: TestDatabase;
    let publisher: TestTransport;
    let instances: NodeChild<Report>[] = [];

    beforeAll(async () => {
      database = await createDatabase(process.env['DATABASE_URL'] ?? '', 'chaos_duplicates');
      await database.query('CREATE TABLE effects (event text NOT NULL, instance int NOT NULL)');
      publisher = await world.open(definition);
      await publisher.transport.declare([
        subscriptionOf({ group: service, id: 'place', patterns: [`${service}.order.placed`] }),
      ]);
      instances = Array.from({ length: INSTANCES }, (_, instance) => {
        const task = { transport, databaseUrl: database.url, service, instance };
        return new NodeChild<Report>('test/chaos/children/racing-consumer.child.mjs', task);
      });
      const isReady = (reports: readonly Report[]): boolean => reports.some(({ step }) => step === 'ready');
      await Promise.all(instances.map((instance) => instance.reaches(isReady, 'an instance is ready')));
    }, 120_000);

    afterAll(async () => {
      await Promise.all(instances.map((instance) => instance.kill()));
      await world.close();
      await database?.drop();
    });

    test(`have ${EVENTS} effects`, async () => {
      const ids = Array.from({ length: EVENTS }, (_, n) => `${service}-${n}`);
      const begin = performance.now();
      const deliveries = inRandomOrder(ids, new Random(SEED));
      for (let sent = 0; sent < deliveries.length; sent += SENT_AT_ONCE) {
        const now = deliveries.slice(sent, sent + SENT_AT_ONCE);
        await Promise.all(
          now.map((id, n) => publisher.publish(`${service}.order.placed`, {}, { id, key: `copy ${sent + n}` })),
        );
      }
      await eventually(() => total(instances, 'handled') + total(instances, 'duplicate') >= deliveries.length, {
        what: `settling ${deliveries.length} deliveries (seed ${SEED})`,
        deadlineMs: 600_000,
      }).catch((error: unknown) => {
        throw new Error([error, ...instances.map(({ errors }) => errors)].join('\n'), { cause: error });
      });

      const counts = await database.query<{ event: string; count: number }>(
        'SELECT event, count(*)::int AS count FROM effects GROUP BY event',
      );
      const shares = await database.query<{ instance: number; count: number }>(
        'SELECT instance, count(*)::int AS count FROM effects GROUP BY instance ORDER BY instance',
      );
      printTable(`Duplicates over ${transport.kind} (seed ${SEED})`, [
        {
          events: EVENTS,
          deliveries: deliveries.length,
          effects: counts.reduce((sum, { count }) => sum + count, 0),
          'of each process': shares.map(({ count }) => count).join(' + '),
          skipped: total(instances, 'duplicate'),
          seconds: Math.round((performance.now() - begin) / 1_000),
        },
      ]);
      const had = new Set(counts.map(({ event }) => event));
      expect(counts.filter(({ count }) => count > 1)).toEqual([]);
      expect(ids.filter((id) => !had.has(id))).toEqual([]);
      // Four took part, or nothing was shown.
      expect(shares).toHaveLength(INSTANCES);
    }, 900_000);
  });
}

/** Each id three times. Half of them close together, so that the copies meet; the others anywhere. */
function inRandomOrder(ids: readonly string[], random: Random): string[] {
  const close = 10 / (ids.length * COPIES);
  const placed = ids.flatMap((id) => {
    const place = random.next();
    const meets = random.next() < 0.5;
    return Array.from({ length: COPIES }, () => ({ id, at: meets ? place + close * random.next() : random.next() }));
  });
  return placed.sort((one, other) => one.at - other.at).map(({ id }) => id);
}

function total(instances: readonly NodeChild<Report>[], type: 'handled' | 'duplicate'): number {
  return instances.reduce((sum, { reports }) => sum + (reports.at(-1)?.settled?.[type] ?? 0), 0);
}

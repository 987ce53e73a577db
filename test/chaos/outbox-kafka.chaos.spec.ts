import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { kafka } from '../../lib/kafka.js';
import { withBroker } from '../support/brokers.js';
import { createDatabase, type TestDatabase } from '../support/databases.js';
import { eventually } from '../support/eventually.js';
import { NodeChild, type ChildReport } from '../support/node-child.js';
import { printTable } from '../support/print-table.js';
import { Random } from '../support/random.js';
import { subscriptionOf } from '../support/test-consumer.js';
import { TransportWorld } from '../support/transport-world.js';
import { uniqueWord } from '../support/unique.js';
import { DyingRelays } from './dying-relays.js';
import { FIGURES, SEED } from './figures.js';
import { KafkaLog, type LoggedEvent } from './kafka-log.js';
import { planTransactions } from './outbox-plan.js';

const EVENTS = FIGURES.outboxEvents;
const DEATHS = FIGURES.relayKills;
const WRITERS = 4;
const RELAYS = 3;
const CHILDREN = 'test/chaos/children';

const says = (what: string) => (reports: readonly ChildReport[]) => reports.some(({ step }) => step === what);

/**
 * Four processes write transactions with events into one outbox: of random length, some committing late, some rolling
 * back, all sharing the keys. Three processes relay to Kafka and are killed with SIGKILL, one or another, and started
 * again. What stands in Kafka in the end: every event of a transaction that committed, none of one that rolled back,
 * and each key's events in the order of the commits. What was sent again counts where it came first.
 */
withBroker('kafka', 'KAFKA_BROKERS', (addresses) => {
  describe(`an outbox with ${WRITERS} writers, and ${RELAYS} relays that are killed ${DEATHS} times`, () => {
    const brokers = addresses.split(',');
    const random = new Random(SEED);
    const plan = planTransactions(EVENTS, random);
    const domain = uniqueWord('outbox');
    const event = `${domain}.order.placed`;
    const transport = { kind: 'kafka', options: { brokers, compression: 'none' as const } };
    const world = new TransportWorld();
    const log = new KafkaLog(brokers, `${domain}.order`);
    let database: TestDatabase;
    let writers: NodeChild<ChildReport>[] = [];
    let relays: DyingRelays | undefined;

    beforeAll(async () => {
      database = await createDatabase(process.env['DATABASE_URL'] ?? '', 'chaos_outbox');
      await database.query(
        `CREATE TABLE plan (n int PRIMARY KEY, writer int NOT NULL, transaction json NOT NULL);
         CREATE TABLE committed (event text NOT NULL, key text NOT NULL, n int NOT NULL);
         CREATE TABLE counters (key text PRIMARY KEY, n int NOT NULL DEFAULT 0);
         INSERT INTO plan SELECT n, n % ${WRITERS}, transaction
           FROM json_array_elements('${JSON.stringify(plan)}') WITH ORDINALITY AS planned (transaction, n);
         INSERT INTO counters (key) SELECT DISTINCT event->>'key'
           FROM plan, json_array_elements(transaction->'events') AS event`,
      );
      // The topic has to be there before it is read.
      const { transport: publisher } = await world.open(kafka(transport.options));
      await publisher.declare([subscriptionOf({ group: domain, patterns: [event] })]);
      await log.open();
    }, 120_000);

    afterAll(async () => {
      await Promise.all([relays?.end(), ...writers.map((writer) => writer.kill())]);
      await log.close();
      await world.close();
      await database?.drop();
    });

    test(`${EVENTS} events arrive, each key's in the order of the commits, none of what was rolled back`, async () => {
      const begin = performance.now();
      const databaseUrl = database.url;
      const dying = new DyingRelays({
        ...{ relays: RELAYS, deaths: DEATHS, random, task: { transport, databaseUrl } },
        lastEvent: Math.floor(EVENTS / (DEATHS + RELAYS)),
      });
      relays = dying;
      writers = Array.from({ length: WRITERS }, (_, writer) => {
        return new NodeChild(`${CHILDREN}/writer.child.mjs`, { transport, databaseUrl, event, writer });
      });
      await Promise.all(writers.map((writer) => writer.reaches(says('done'), 'the end of its transactions', 600_000)));
      await eventually(isRelayed, { what: `an empty outbox (seed ${SEED})`, deadlineMs: 600_000 });
      dying.assertWell();
      await dying.end();
      await eventually(() => log.isReadToItsEnd(), { what: 'reading the topic to its end', deadlineMs: 60_000 });

      const committed = await database.query<LoggedEvent>('SELECT key, event AS id FROM committed ORDER BY key, n');
      const rolledBack = plan.filter(({ rollsBack }) => rollsBack).flatMap(({ events }) => events.map(({ id }) => id));
      const arrived = new Set(log.events.map(({ id }) => id));
      printTable(`Outbox under fire (seed ${SEED})`, [
        {
          events: committed.length,
          transactions: plan.length,
          'events rolled back': rolledBack.length,
          'relays killed': dying.deaths,
          'sent again': log.events.length - arrived.size,
          seconds: Math.round((performance.now() - begin) / 1_000),
        },
      ]);
      expect(committed).toHaveLength(EVENTS);
      expect(rolledBack.filter((id) => arrived.has(id))).toEqual([]);
      expect(committed.map(({ id }) => id).filter((id) => !arrived.has(id))).toEqual([]);
      expect(differences(byKey(committed), byKey(firsts(log.events))).slice(0, 10)).toEqual([]);
    }, 1_200_000);

    /** Nothing is left, and enough of them have died. */
    async function isRelayed(): Promise<boolean> {
      relays?.assertWell();
      if ((relays?.deaths ?? 0) < DEATHS) return false;
      const [row] = await database.query<{ count: number }>('SELECT count(*)::int AS count FROM nestjs_events.outbox');
      return row?.count === 0;
    }
  });
});

/** Each event where it came first: what a consumer with idempotency sees. */
function firsts(events: readonly LoggedEvent[]): LoggedEvent[] {
  const seen = new Set<string>();
  return events.filter(({ id }) => !seen.has(id) && seen.add(id));
}

function byKey(events: readonly LoggedEvent[]): Map<string, string[]> {
  const keys = new Map<string, string[]>();
  for (const { key, id } of events) keys.set(key, [...(keys.get(key) ?? []), id]);
  return keys;
}

/** For each key that differs, from where on. */
function differences(expected: Map<string, string[]>, actual: Map<string, string[]>): object[] {
  return [...expected].flatMap(([key, ids]) => {
    const seen = actual.get(key) ?? [];
    const at = ids.findIndex((id, index) => id !== seen[index]);
    return at === -1 ? [] : [{ key, at, committed: ids.slice(at, at + 5), arrived: seen.slice(at, at + 5) }];
  });
}

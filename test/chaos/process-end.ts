import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { DeadLetter } from '../../lib/core/dead-letter.js';
import type { TransportDefinition } from '../../lib/core/transport.js';
import { createDatabase, type TestDatabase } from '../support/databases.js';
import { eventually } from '../support/eventually.js';
import { NodeChild, type ChildReport } from '../support/node-child.js';
import { printTable } from '../support/print-table.js';
import { subscriptionOf } from '../support/test-consumer.js';
import { TransportWorld, type TestTransport } from '../support/transport-world.js';
import { uniqueWord } from '../support/unique.js';
import { FIGURES } from './figures.js';

const SCRIPT = 'test/chaos/children/ending-consumer.child.mjs';
const EVENTS = 40;
const CULPRIT = '17';
const KEYS = 8;
const CRASHES = 2;
/** A small heap, so that it is soon full. */
const FLAGS = ['--max-old-space-size=128'];
/** A killed member of a Kafka group is missed for its session. */
const LIFE_DEADLINE_MS = 60_000;

/** How the culprit ends the process. */
export type ProcessEnd = 'exit' | 'memory' | 'loop';
const ENDED_BY: Readonly<Record<ProcessEnd, readonly unknown[]>> = {
  exit: [1],
  memory: ['SIGABRT', 'SIGTRAP', 134, 133],
  loop: ['SIGKILL'],
};

interface Report extends ChildReport {
  readonly step: 'ready' | 'stoppable' | 'unclean-stop' | 'handled' | 'dead-lettered';
  readonly id?: string;
  readonly code?: string;
}

interface Line {
  readonly end: ProcessEnd;
  /** Whether its handler takes batches. */
  readonly batch: boolean;
  readonly what: string;
  readonly service: string;
  readonly deaths: unknown[];
  tookMs?: number;
  letters?: readonly DeadLetter[];
  /** Event → rows. */
  effects?: Readonly<Record<string, number>>;
  /** What the one after that told of, and how it was stopped. */
  next?: readonly Report[];
  stopped?: unknown;
  /** Rows of processes that have not ended, and of attempts. */
  left?: unknown;
}

/**
 * A handler ends its process at one of many events, however often it is started again. In the end that event is a dead
 * letter and each of the others has one effect.
 */
export function processEnd(definition: TransportDefinition, transport: { kind: string; options: unknown }): void {
  const lineOf = (end: ProcessEnd, batch: boolean): Line => {
    const what = batch ? `${end}, of a batch` : end;
    return { end, batch, what, service: uniqueWord('ends'), deaths: [] };
  };
  const lines = [...FIGURES.processEnds.map((end) => lineOf(end, false)), lineOf('exit', true)];

  describe(`an event that ends its process, over ${transport.kind}`, () => {
    const world = new TransportWorld();
    let database: TestDatabase;
    let publisher: TestTransport;

    beforeAll(async () => {
      database = await createDatabase(process.env['DATABASE_URL'] ?? '', 'chaos_ends');
      await database.query('CREATE TABLE effects (service text NOT NULL, event text NOT NULL)');
      publisher = await world.open(definition);
      await Promise.all(lines.map((line) => run(line)));
    }, 300_000);

    afterAll(async () => {
      printTable(
        `Restarts until an event that ends its process is a dead letter, over ${transport.kind}, crashes: ${CRASHES}`,
        lines.map(({ what, deaths, tookMs = 0, letters = [] }) => ({
          end: what,
          restarts: deaths.length,
          'ended by': [...new Set(deaths)].join(', '),
          'dead letters': letters.length,
          seconds: Math.round(tookMs / 100) / 10,
        })),
      );
      await world.close();
      await database?.drop();
    });

    test.each(lines)('$what: it is the only dead letter', ({ letters = [] }) => {
      expect(letters).toMatchObject([
        {
          eventId: CULPRIT,
          event: expect.stringMatching(/\.order\.placed$/) as unknown,
          error: { code: 'EVENTS_PROCESS_ENDED', message: expect.stringContaining('handler "place"') as unknown },
        },
      ]);
    });

    test.each(lines)('$what: once nobody knew why, then as often as allowed', ({ end, deaths }) => {
      expect(ENDED_BY[end]).toEqual(expect.arrayContaining([...new Set(deaths)]));
      expect(deaths).toHaveLength(1 + CRASHES);
    });

    test.each(lines)('$what: each other event has one effect', ({ effects }) => {
      const ids = [...Array.from({ length: EVENTS }, (_, n) => String(n)), 'next'].filter((id) => id !== CULPRIT);
      expect(effects).toEqual(Object.fromEntries(ids.map((id) => [id, 1])));
    });

    test.each(lines)('$what: then it stops and starts as it should, and nothing is held against anybody', (line) => {
      expect(line.stopped).toBe('SIGTERM');
      expect(line.next?.map(({ step, id }) => id ?? step)).toEqual(expect.arrayContaining(['stoppable', 'next']));
      expect(line.next?.filter(({ step }) => step === 'dead-lettered')).toEqual([]);
      expect(line.left).toEqual({ running: 0, attempts: 0 });
    });

    async function run(line: Line): Promise<void> {
      const { service, end } = line;
      const patterns = [`${service}.order.placed`];
      const startedAt = performance.now();
      await publisher.transport.declare([subscriptionOf({ group: service, id: 'place', patterns })]);
      for (let n = 0; n < EVENTS; n++) await publish(line, String(n), String(n) === CULPRIT ? { ends: end } : {});
      while (!(await live(line, EVENTS - 1, 'dead-lettered'))) {
        if (line.deaths.length > 3 * (1 + CRASHES)) throw new Error(`${end}: it ends its process again and again`);
      }
      line.tookMs = performance.now() - startedAt;
      await publish(line, 'next', {});
      await live(line, EVENTS, 'handled');
      line.letters = await publisher.deadLetters({ group: service, id: 'place' });
      line.effects = await effects(line);
      [line.left] = await database.query(
        `SELECT (SELECT count(*)::int FROM nestjs_events.processes WHERE service = '${service}' AND lost_at IS NULL) AS running,
           (SELECT count(*)::int FROM nestjs_events.delivery_attempts WHERE consumer = '${service}.place') AS attempts`,
      );
    }

    async function publish({ service }: Line, id: string, data: unknown): Promise<void> {
      await publisher.publish(`${service}.order.placed`, data, { id, key: `k${Number(id) % KEYS}` });
    }

    /** Runs until it ends, or has told of `step` and left so many effects: then it is stopped. Returns whether it was. */
    async function live(line: Line, expected: number, step: Report['step']): Promise<boolean> {
      const { service, end, batch } = line;
      const task = { transport, databaseUrl: database.url, service, crashes: CRASHES, end, batch };
      const child = new NodeChild<Report>(SCRIPT, task, FLAGS);
      const through = async (): Promise<boolean> =>
        ['stoppable', step].every((each) => child.reports.some((report) => report.step === each)) &&
        Object.keys(await effects(line)).length === expected;
      try {
        await eventually(async () => child.hasEnded || (await through()), {
          what: `${line.what} over ${transport.kind}: a death or the end`,
          deadlineMs: LIFE_DEADLINE_MS,
        });
        if (child.hasEnded) {
          line.deaths.push(await child.ended());
          return false;
        }
        line.stopped = await child.stop();
        line.next = child.reports;
        return true;
      } finally {
        await child.kill();
      }
    }

    async function effects({ service }: Line): Promise<Record<string, number>> {
      const rows = await database.query<{ event: string; count: number }>(
        `SELECT event, count(*)::int AS count FROM effects WHERE service = '${service}' GROUP BY event`,
      );
      return Object.fromEntries(rows.map(({ event, count }) => [event, count]));
    }
  });
}

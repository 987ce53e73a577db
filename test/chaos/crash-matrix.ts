import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { TransportDefinition } from '../../lib/core/transport.js';
import { createDatabase, type TestDatabase } from '../support/databases.js';
import { NodeChild, type ChildReport } from '../support/node-child.js';
import { printTable } from '../support/print-table.js';
import { Random } from '../support/random.js';
import { TransportWorld } from '../support/transport-world.js';
import { uniqueWord } from '../support/unique.js';
import {
  CrashLine,
  STEPS,
  STEPS_OF_DELIVERY,
  type Effects,
  type LineOptions,
  type LineResult,
  type LineWorld,
  type Step,
} from './crash-line.js';
import { FIGURES, SEED } from './figures.js';

const CRASHES = FIGURES.crashesPerStep;
/** Without idempotency the first has the order handled again, the second the follow-up; the test must see both. */
const SHOWS_DUPLICATES = {
  'after COMMIT, before the acknowledgement': 'orders',
  'in the relay, after the send, before the delete': 'mails',
} as const;
type Showing = keyof typeof SHOWS_DUPLICATES;

interface Line extends LineOptions {
  result?: LineResult;
  error?: unknown;
}

/**
 * A consumer writes an effect for each order and publishes a follow-up through its outbox; a second consumer, which
 * lives on, writes an effect for each follow-up. The first is killed with SIGKILL at every step, with other events in
 * flight, and started again. In the end each order and each follow-up has exactly one effect. No table that counts
 * has a constraint: without idempotency, duplicates show.
 */
export function crashMatrix(definition: TransportDefinition, transport: LineWorld['transport']): void {
  const lineOf = (step: Step, options: { batch?: boolean; idempotent?: boolean } = {}): Line => ({
    ...{ step, batch: false, idempotent: true, crashes: CRASHES, line: uniqueWord(transport.kind) },
    ...options,
  });
  const single = STEPS.map((step) => lineOf(step));
  const batches = STEPS_OF_DELIVERY.map((step) => lineOf(step, { batch: true }));
  const without = (Object.keys(SHOWS_DUPLICATES) as Showing[]).map((step) => lineOf(step, { idempotent: false }));
  const all = [...single, ...batches, ...without];

  describe(`a consumer over ${transport.kind}, killed ${CRASHES} times at each step`, () => {
    const world = new TransportWorld();
    let database: TestDatabase;
    let mails: NodeChild<ChildReport>;

    beforeAll(async () => {
      database = await createDatabase(process.env['DATABASE_URL'] ?? '', 'chaos_crashes');
      for (const table of ['effects', 'mails']) {
        await database.query(`CREATE TABLE ${table} (line text NOT NULL, event text NOT NULL)`);
      }
      mails = new NodeChild('test/chaos/children/mails.child.mjs', {
        ...{ transport, databaseUrl: database.url, schema: 'mails', service: uniqueWord('mails') },
        lines: all.map(({ line, idempotent }) => ({ line, idempotent })),
      });
      await mails.reaches((reports) => reports.some(({ step }) => step === 'ready'), 'the second consumer is ready');
      const publisher = await world.open(definition);
      // The lines run side by side: on Kafka most of a line is waiting for the session of the dead to pass.
      await Promise.all(
        all.map(async (each, index) => {
          const line = new CrashLine(each, { random: new Random(SEED + index), database, publisher, transport });
          await line.run().then(
            (result) => (each.result = result),
            (error: unknown) => (each.error = error),
          );
        }),
      );
      if (mails.hasEnded) throw new Error(`the second consumer has ended:\n${mails.errors}`);
    }, 1_200_000);

    afterAll(async () => {
      print(`Killed ${CRASHES} times at each step, over ${transport.kind} (seed ${SEED})`, single);
      print('The same with a batch handler', batches);
      print('The same without idempotency', without);
      await mails?.kill();
      await world.close();
      await database?.drop();
    });

    test.each(single)('$step: each order and each follow-up has one effect', (line) => assertOnce(line));
    test.each(batches)('$step, of a batch: each order and each follow-up has one effect', (line) => assertOnce(line));

    test.each(without)('$step: without idempotency there are duplicates', (line) => {
      const { orders, mails: followUps } = resultOf(line);
      expect([orders.lost, followUps.lost]).toEqual([[], []]);
      const shown = SHOWS_DUPLICATES[line.step as Showing] === 'orders' ? orders : followUps;
      expect(shown.duplicates.length).toBeGreaterThanOrEqual(CRASHES);
    });
  });

  function print(title: string, rows: readonly Line[]): void {
    printTable(
      title,
      rows.map(({ step, result }) => ({
        step,
        kills: result?.crashes ?? '-',
        events: result?.events ?? '-',
        'delivered again': result?.redelivered ?? '-',
        'duplicate effects': result?.orders.duplicates.length ?? '-',
        'lost effects': result?.orders.lost.length ?? '-',
        'duplicate follow-ups': result?.mails.duplicates.length ?? '-',
        'lost follow-ups': result?.mails.lost.length ?? '-',
      })),
    );
  }
}

function assertOnce(line: Line): void {
  const result = resultOf(line);
  const once: Effects = { duplicates: [], lost: [] };
  expect(result).toMatchObject({ crashes: CRASHES, orders: once, mails: once });
  // The crashes were where they should be: what was under way came again.
  if (STEPS_OF_DELIVERY.includes(line.step)) expect(result.redelivered).toBeGreaterThanOrEqual(CRASHES);
}

function resultOf({ result, error }: Line): LineResult {
  if (result === undefined) throw error;
  return result;
}

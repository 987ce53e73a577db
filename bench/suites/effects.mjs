/** `npm run bench -- effects`: what effects that happen once cost, beside the same SQL on node-postgres. */
import { EffectsPlaces } from '../harness/effects-places.mjs';
import { runSuite } from '../harness/run-suite.mjs';

const EFFECTS = 'nestjs-events-effects';
const OUTBOX = 'nestjs-events-outbox';
const PLAIN_KAFKA = 'nestjs-events-kafka';

/** @type {import('../harness/run-suite.mjs').Case[]} */
const cases = [
  {
    title: 'effects, a transaction an event',
    measure: 'effects',
    settings: { count: 20_000, portion: 2_000, warmUp: 2_000 },
    quick: { count: 500, portion: 250, warmUp: 50 },
    entries: [
      { contestant: 'pg', module: 'pg', options: { connections: 10 } },
      { contestant: 'nestjs-events, dataSource.query', module: EFFECTS, options: { concurrency: 10 } },
      {
        contestant: 'nestjs-events, repository.insert',
        module: EFFECTS,
        options: { concurrency: 10, effect: 'insert' },
      },
      { contestant: 'TypeORM, manager.query', module: 'typeorm', options: { connections: 10 } },
    ],
  },
  {
    title: 'effects, 100 events a transaction',
    measure: 'effects',
    settings: { count: 100_000, portion: 20_000, warmUp: 10_000 },
    quick: { count: 2_000, portion: 1_000, warmUp: 200 },
    entries: [
      { contestant: 'pg, 4 connections', module: 'pg', options: { connections: 4, batch: 100 } },
      {
        contestant: 'nestjs-events, 4 at once',
        module: 'nestjs-events-batches',
        options: { concurrency: 4, batch: 100 },
      },
      { contestant: 'nestjs-events, an event each, 10 at once', module: EFFECTS, options: { concurrency: 10 } },
    ],
  },
  {
    title: 'to Kafka, 200 keys',
    measure: 'relay',
    settings: { count: 40_000, keys: 200, warmUp: 2_000 },
    quick: { count: 1_000, warmUp: 100 },
    entries: [
      { contestant: 'nestjs-events, publish, 100 in flight', module: PLAIN_KAFKA, options: { inFlight: 100 } },
      { contestant: 'nestjs-events, publish, 1,000 in flight', module: PLAIN_KAFKA, options: { inFlight: 1_000 } },
      { contestant: 'nestjs-events, from the outbox', module: OUTBOX },
    ],
  },
  {
    title: 'effect and event in one transaction, 10 writers',
    measure: 'publish',
    settings: { inFlight: 10, warmUpMs: 2_000, runMs: 8_000 },
    quick: { warmUpMs: 100, runMs: 500 },
    entries: [
      {
        contestant: 'nestjs-events',
        module: OUTBOX,
        options: { transport: 'memory', outbox: { relay: false } },
      },
      {
        contestant: 'nestjs-events, notify',
        module: OUTBOX,
        options: { transport: 'memory', outbox: { relay: false, notify: true } },
      },
    ],
  },
  {
    title: 'handling at 200/s, 5,000,000 old rows',
    measure: 'cleanup',
    settings: { oldRows: 5_000_000, perSecond: 200, warmUp: 1_000, runMs: 60_000, longestMs: 480_000 },
    quick: { oldRows: 20_000, warmUp: 20, runMs: 1_000, longestMs: 30_000 },
    rounds: 1,
    entries: [
      { contestant: 'nestjs-events, left alone', module: EFFECTS },
      {
        contestant: 'nestjs-events, being cleaned',
        module: EFFECTS,
        options: { retention: { days: 7, everyMs: 1_000 } },
      },
    ],
  },
];

const database = process.env.DATABASE_URL;
const brokers = process.env.KAFKA_BROKERS;
if (!database || !brokers) {
  throw new Error('DATABASE_URL or KAFKA_BROKERS is not set: start this with npm run bench -- effects');
}
const places = new EffectsPlaces({ database, brokers });

await runSuite(
  {
    name: 'effects',
    cases,
    prepare: (run) => places.prepare(run),
    cleanUp: (run, target) => places.cleanUp(run, target),
    close: () => places.close(),
    versions: async () => ({
      postgres: await places.version(),
      kafka: process.env.BENCH_BROKER_VERSION ?? 'unknown',
    }),
  },
  process.argv.slice(2),
);

/** `npm run bench -- kafka`: kafkajs, @nestjs/microservices and nestjs-events against one broker. */
import { KafkaPlaces } from '../harness/kafka-places.mjs';
import { runSuite } from '../harness/run-suite.mjs';

const OURS = { contestant: 'nestjs-events', module: 'nestjs-events-kafka' };

/** @type {import('../harness/run-suite.mjs').Case[]} */
const cases = [
  {
    title: 'publish, 100 in flight',
    measure: 'publish',
    settings: { inFlight: 100, warmUpMs: 2_000, runMs: 8_000 },
    quick: { warmUpMs: 100, runMs: 500 },
    entries: [
      { contestant: 'kafkajs, one send per call', module: 'kafkajs' },
      { contestant: 'kafkajs, one send per call, not idempotent', module: 'kafkajs', options: { idempotent: false } },
      { contestant: 'kafkajs, sendBatch of 100', module: 'kafkajs', options: { batch: true } },
      { contestant: 'Nest ClientKafka, not idempotent', module: 'nest-kafka' },
      OURS,
      { ...OURS, contestant: 'nestjs-events, no compression', options: { compression: 'none' } },
    ],
  },
  {
    title: 'one awaited publish',
    measure: 'one-publish',
    settings: { warmUp: 100, count: 500, everyMs: 20 },
    quick: { warmUp: 5, count: 20 },
    entries: [
      { contestant: 'kafkajs', module: 'kafkajs' },
      { contestant: 'Nest ClientKafka, not idempotent', module: 'nest-kafka' },
      OURS,
    ],
  },
  {
    title: 'consume, no-op handler',
    measure: 'consume',
    // n.b. clients that have fetched ahead look up to three times as fast in short runs
    settings: { count: 400_000, handlerMs: 0, longestMs: 60_000 },
    quick: { count: 3_000 },
    entries: [
      { contestant: 'kafkajs eachBatch', module: 'kafkajs', options: { mode: 'eachBatch' } },
      { contestant: 'kafkajs eachMessage', module: 'kafkajs' },
      { contestant: 'Nest ServerKafka', module: 'nest-kafka' },
      OURS,
    ],
  },
  {
    title: 'consume, 1 ms handler',
    measure: 'consume',
    // a contestant that needs longer is measured on what it handles in that time
    settings: { count: 400_000, handlerMs: 1, longestMs: 12_000 },
    quick: { count: 3_000, longestMs: 1_000 },
    entries: [
      { contestant: 'kafkajs eachMessage', module: 'kafkajs' },
      { contestant: 'kafkajs eachMessage, 3 partitions at once', module: 'kafkajs', options: { partitionsAtOnce: 3 } },
      { contestant: 'Nest ServerKafka', module: 'nest-kafka' },
      { contestant: 'Nest ServerKafka, 3 partitions at once', module: 'nest-kafka', options: { partitionsAtOnce: 3 } },
      { ...OURS, options: { concurrency: 50 } },
      { ...OURS, contestant: 'nestjs-events, concurrency 200', options: { concurrency: 200 } },
    ],
  },
  {
    title: 'end to end at 200/s',
    measure: 'end-to-end',
    settings: { perSecond: 200, warmUp: 400, count: 2_000 },
    quick: { warmUp: 20, count: 100 },
    entries: [
      { contestant: 'kafkajs eachMessage', module: 'kafkajs' },
      { contestant: 'Nest, ClientKafka to ServerKafka', module: 'nest-kafka' },
      OURS,
    ],
  },
];

const brokers = process.env.KAFKA_BROKERS;
if (!brokers) throw new Error('KAFKA_BROKERS is not set: start this with npm run bench -- kafka');
const places = new KafkaPlaces(brokers);

await runSuite(
  {
    name: 'kafka',
    cases,
    prepare: (run) => places.prepare(run),
    cleanUp: (run, target) => places.cleanUp(run, target),
    close: () => places.close(),
    versions: async () => ({ kafka: process.env.BENCH_BROKER_VERSION ?? 'unknown' }),
  },
  process.argv.slice(2),
);

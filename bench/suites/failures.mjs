/**
 * `npm run bench -- failures`: what events that fail do to the others. nestjs-events, @nestjs/microservices and golevelup
 * are given the same 10,000 events of 100 keys, of which 1 % always fail and 10 % once or twice.
 */
import { FailurePlaces } from '../harness/failure-places.mjs';
import { runSuite } from '../harness/run-suite.mjs';

const EVENTS = { count: 10_000, keys: 100, poisonPercent: 1, flakyPercent: 10, cutOffMs: 30_000, quietMs: 2_000 };
const QUICK = { count: 1_000, cutOffMs: 6_000 };
const PER_SECOND = 500;

const OURS_KAFKA = { contestant: 'nestjs-events', module: 'nestjs-events-kafka' };
const NEST_KAFKA = { contestant: 'Nest ServerKafka', module: 'nest-kafka' };
const OURS_RABBITMQ = { contestant: 'nestjs-events', module: 'nestjs-events-rabbitmq' };
const GOLEVELUP = { contestant: 'golevelup', module: 'golevelup' };
const NEST_RABBITMQ = { contestant: 'Nest ServerRMQ', module: 'nest-rabbitmq' };

/** @typedef {import('../harness/run-suite.mjs').Entry} Entry */

const GIVES_UP = {
  ...NEST_KAFKA,
  contestant: 'Nest ServerKafka, filter that gives up',
  options: { onError: 'give-up' },
};
const kafka = [...beside(OURS_KAFKA), ...beside(NEST_KAFKA, GIVES_UP)];
const rabbitmq = [
  ...beside(OURS_RABBITMQ),
  ...beside(
    GOLEVELUP,
    { ...GOLEVELUP, contestant: 'golevelup, NACK to a dead-letter exchange', options: { onError: 'nack' } },
    { ...GOLEVELUP, contestant: 'golevelup, error handler with a retry queue', options: { onError: 'retry-queue' } },
  ),
  ...beside(NEST_RABBITMQ, {
    ...NEST_RABBITMQ,
    contestant: 'Nest ServerRMQ, nack to a dead-letter exchange',
    options: { onError: 'nack' },
  }),
];

/** @type {import('../harness/run-suite.mjs').Case[]} */
const cases = [
  { title: `Kafka, arriving at ${PER_SECOND}/s`, ...arriving(), entries: kafka },
  { title: `RabbitMQ, arriving at ${PER_SECOND}/s`, ...arriving(), entries: rabbitmq },
  { title: 'Kafka, a backlog', ...backlog(), entries: [...kafka, ...withoutWaits(OURS_KAFKA)] },
  { title: 'RabbitMQ, a backlog', ...backlog(), entries: [...rabbitmq, ...withoutWaits(OURS_RABBITMQ)] },
];

/**
 * A contestant and its variants beside the same one on a day when nothing fails.
 * @param {Entry} contestant
 * @param {Entry[]} variants
 * @returns {Entry[]}
 */
function beside(contestant, ...variants) {
  const well = `${contestant.contestant}, nothing fails`;
  return [
    { ...contestant, contestant: well, options: { failing: false }, baseline: well },
    ...[contestant, ...variants].map((entry) => ({ ...entry, baseline: well })),
  ];
}

/**
 * What order per key costs where everything waits already: without it, and with shorter waits.
 * @param {Entry} ours
 * @returns {Entry[]}
 */
function withoutWaits(ours) {
  const { contestant } = ours;
  const baseline = `${contestant}, nothing fails`;
  return [
    { ...ours, contestant: `${contestant}, ordering: 'none'`, options: { ordering: 'none' }, baseline },
    { ...ours, contestant: `${contestant}, backoff of 10 ms`, options: { backoffMs: 10 }, baseline },
  ];
}

function arriving() {
  return { measure: 'failures', settings: { ...EVENTS, perSecond: PER_SECOND }, quick: QUICK };
}

function backlog() {
  return { measure: 'failures', settings: EVENTS, quick: QUICK };
}

const { KAFKA_BROKERS: brokers, RABBITMQ_URL: url } = process.env;
if (!brokers || !url)
  throw new Error('KAFKA_BROKERS and RABBITMQ_URL are not set: start this with npm run bench -- failures');
const places = new FailurePlaces({ brokers, url });

await runSuite(
  {
    name: 'failures',
    cases,
    prepare: (run) => places.prepare(run),
    cleanUp: (run, target) => places.cleanUp(run, target),
    close: () => places.close(),
    versions: async () => ({
      kafka: process.env.BENCH_BROKER_VERSION ?? 'unknown',
      rabbitmq: await places.brokerVersion(),
    }),
  },
  process.argv.slice(2),
);

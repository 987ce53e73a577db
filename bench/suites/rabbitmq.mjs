/** `npm run bench -- rabbitmq`: amqplib, golevelup, @nestjs/microservices and nestjs-events against one broker. */
import { RabbitmqPlaces } from '../harness/rabbitmq-places.mjs';
import { runSuite } from '../harness/run-suite.mjs';

const CLASSIC = { contestant: 'amqplib, classic queue', module: 'amqplib' };
const QUORUM = { contestant: 'amqplib, quorum queue', module: 'amqplib', options: { queueType: 'quorum' } };
const GOLEVELUP = { contestant: 'golevelup, classic queue', module: 'golevelup' };
const NEST = { contestant: 'Nest, classic queue', module: 'nest-rabbitmq' };
const OURS = { contestant: 'nestjs-events', module: 'nestjs-events-rabbitmq' };

const publishers = [CLASSIC, QUORUM, GOLEVELUP, NEST, OURS];
/** As many at once as the prefetch of the others allows. */
const consumers = [CLASSIC, QUORUM, GOLEVELUP, NEST, { ...OURS, options: { concurrency: 100 } }];

/** @type {import('../harness/run-suite.mjs').Case[]} */
const cases = [
  ...[100, 1_000].map((inFlight) => ({
    title: `publish confirmed, ${inFlight.toLocaleString('en-US')} in flight`,
    measure: 'publish',
    settings: { inFlight, warmUpMs: 2_000, runMs: 8_000 },
    quick: { warmUpMs: 100, runMs: 500 },
    entries: publishers,
  })),
  ...[0, 1].map((handlerMs) => ({
    title: `consume, prefetch 100, ${handlerMs === 0 ? 'no-op' : `${handlerMs} ms`} handler`,
    measure: 'consume',
    settings: { count: 100_000, handlerMs, longestMs: 30_000 },
    quick: { count: 2_000 },
    entries: consumers,
  })),
  {
    title: 'end to end at 200/s',
    measure: 'end-to-end',
    settings: { perSecond: 200, warmUp: 400, count: 2_000 },
    quick: { warmUp: 20, count: 100 },
    entries: [
      { ...CLASSIC, contestant: 'amqplib, one connection, classic queue' },
      { ...CLASSIC, contestant: 'amqplib, two connections, classic queue', options: { connections: 2 } },
      {
        ...QUORUM,
        contestant: 'amqplib, two connections, quorum queue',
        options: { queueType: 'quorum', connections: 2 },
      },
      GOLEVELUP,
      NEST,
      OURS,
    ],
  },
];

const url = process.env.RABBITMQ_URL;
if (!url) throw new Error('RABBITMQ_URL is not set: start this with npm run bench -- rabbitmq');
const places = new RabbitmqPlaces(url);

await runSuite(
  {
    name: 'rabbitmq',
    cases,
    prepare: (run) => places.prepare(run),
    cleanUp: (_run, target) => places.cleanUp(target),
    close: () => places.close(),
    versions: async () => ({ rabbitmq: await places.brokerVersion() }),
  },
  process.argv.slice(2),
);

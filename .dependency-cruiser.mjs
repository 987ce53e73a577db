/**
 * The direction of imports (docs/glossary.md names the rooms): each room may import the rooms below it, never one above.
 * core ← typeorm ← transports | handlers | retry | idempotency | dead-letter | outbox ← publishing | consuming
 *      ← observability ← events.module ← testing ← cli ← the public entries
 */
const floors = [
  ['core'],
  ['typeorm'],
  ['transports', 'handlers', 'retry', 'idempotency', 'dead-letter', 'outbox'],
  ['publishing', 'consuming'],
  ['observability'],
  ['testing'],
  ['cli'],
];

const above = (floor) => floors.slice(floor + 1).flat();
const siblings = (floor, room) => floors[floor].filter((other) => other !== room);
const entries = [
  'events.module',
  'events.runtime',
  'events.lifecycle',
  'events.options',
  'events-relay.module',
  'index',
  'kafka',
  'rabbitmq',
  'typeorm',
  'testing',
];

const directions = floors.flatMap((rooms, floor) =>
  rooms.map((room) => ({
    name: `${room}-imports-only-below`,
    comment: `lib/${room} may import the rooms below it and core; siblings meet through ports in core`,
    severity: 'error',
    from: { path: `^lib/${room}/`, pathNot: '\\.spec\\.ts$' },
    to: {
      path: [
        ...[...above(floor), ...siblings(floor, room)].map((other) => `^lib/${other}/`),
        ...entries.map((entry) => `^lib/${entry}\\.ts$`),
      ],
    },
  })),
);

/** An optional package is imported only inside its own folder, so that the package root loads none of them. */
const optional = (name, packages, folders) => ({
  name: `${name}-stays-at-home`,
  severity: 'error',
  from: { path: '^lib/', pathNot: [...folders, '\\.spec\\.ts$'] },
  to: { path: packages.map((each) => `node_modules/${each}/`) },
});

export default {
  forbidden: [
    ...directions,
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'core-is-pure',
      comment: 'core knows no framework, no broker client and no database',
      severity: 'error',
      from: { path: '^lib/core/', pathNot: '\\.spec\\.ts$' },
      to: { path: 'node_modules/(@nestjs|kafkajs|amqplib|typeorm|pg|rxjs)/' },
    },
    {
      name: 'one-transport-does-not-know-another',
      severity: 'error',
      from: { path: '^lib/transports/([^/]+)/' },
      to: { path: '^lib/transports/([^/]+)/', pathNot: '^lib/transports/$1/' },
    },
    optional('kafkajs', ['kafkajs', 'lz4-napi'], ['^lib/transports/kafka/']),
    optional('amqplib', ['amqplib', '@types/amqplib'], ['^lib/transports/rabbitmq/']),
    optional('typeorm', ['typeorm'], ['^lib/typeorm/', '\\.typeorm\\.ts$', '/typeorm-[^/]+\\.ts$']),
    optional('pg', ['pg', '@types/pg'], ['^lib/typeorm/', '\\.typeorm\\.ts$', '/typeorm-[^/]+\\.ts$', '^lib/cli/']),
    optional('commander', ['commander'], ['^lib/cli/']),
    {
      name: 'public-api-only',
      comment: 'the sample app is written as a user would write it',
      severity: 'error',
      from: { path: '^sample-app/' },
      to: { path: '^lib/', pathNot: '^lib/(index|kafka|rabbitmq|typeorm|testing)\\.ts$' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types', 'default'] },
  },
};

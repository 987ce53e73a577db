/** One project a kind of test; `npm test` runs them all, `npm run test:unit` the first. */
const base = {
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: {
    '^(\\.{1,2}/.*)\\.js$': '$1',
    '^nestjs-events$': '<rootDir>/lib/index.ts',
    '^nestjs-events/(.*)$': '<rootDir>/lib/$1.ts',
  },
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          target: 'es2022',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true },
          keepClassNames: true,
        },
        module: { type: 'es6' },
      },
    ],
  },
  modulePathIgnorePatterns: ['<rootDir>/dist', '<rootDir>/.servers', '<rootDir>/bench/node_modules'],
  setupFiles: ['reflect-metadata'],
};

const project = (displayName, roots, rest = {}) => ({
  ...base,
  displayName,
  testMatch: roots.map((root) => `<rootDir>/${root}/**/*.spec.ts`),
  ...rest,
});

/** n.b. some of these kill a broker, and must be alone then. */
const withBrokers = { setupFilesAfterEnv: ['<rootDir>/test/support/broker-lock.ts'] };

export default {
  projects: [
    project('unit', ['lib', 'sample-app']),
    project('conformance', ['test/conformance'], withBrokers),
    project('transports', ['test/transports'], withBrokers),
    project('e2e', ['test/e2e'], { ...withBrokers, globals: { TYPEORM: '1' } }),
    // The same tests on the TypeORM that many applications still have.
    project('typeorm-0.3', ['test/e2e'], {
      ...withBrokers,
      globals: { TYPEORM: '0.3' },
      testMatch: ['<rootDir>/test/e2e/typeorm.*.spec.ts'],
      moduleNameMapper: { ...base.moduleNameMapper, '^typeorm$': '<rootDir>/node_modules/typeorm-0.3/index.mjs' },
    }),
    project('chaos', ['test/chaos'], withBrokers),
  ],
  maxWorkers: 2,
  testTimeout: 60_000,
};

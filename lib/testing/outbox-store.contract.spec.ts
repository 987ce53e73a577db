import { describe, expect, test } from '@jest/globals';
import { storeEnvironment } from '../../test/support/store-environment.js';
import { memoryOutbox } from '../outbox/memory-outbox.js';
import type { OutboxEntry, OutboxStore, TakenEntry } from '../outbox/outbox-store.js';
import { outboxStoreContract } from './outbox-store.contract.js';
import type { OutboxStoreHarness } from './outbox-store.harness.js';

const memory = (): OutboxStore => memoryOutbox().create(storeEnvironment());

describe('the memory store keeps the contract', () => {
  for (const { name, run } of outboxStoreContract(() => ({ store: memory() }))) test(name, run);
});

test('the memory store refuses production unless it is allowed', () => {
  const environment = storeEnvironment({ production: true });
  expect(() => memoryOutbox().create(environment)).toThrow(
    expect.objectContaining({ code: 'EVENTS_MEMORY_IN_PRODUCTION' }),
  );
  expect(memoryOutbox({ allowMemory: true }).create(environment)).toBeDefined();
});

type Change = (inner: OutboxStore) => Partial<OutboxStore>;

/** A store that does one thing otherwise. */
function broken(change: Change): OutboxStore {
  const inner = memory();
  const same: OutboxStore = {
    prepare: () => inner.prepare(),
    isTransactionOpen: () => inner.isTransactionOpen(),
    enrol: (...args) => inner.enrol(...args),
    transactional: (work) => inner.transactional(work),
    relay: (request) => inner.relay(request),
    watch: (listener) => inner.watch(listener),
    transports: () => inner.transports(),
    lag: () => inner.lag(),
    parked: (query) => inner.parked(query),
    release: (ids) => inner.release(ids),
    discard: (ids) => inner.discard(ids),
  };
  return { ...same, ...change(inner) };
}

/** Changes what the relay is handed. */
const handing =
  (change: (entries: readonly TakenEntry[]) => readonly TakenEntry[]): Change =>
  (inner) => ({
    relay: (request) => inner.relay({ ...request, publish: (entries) => request.publish(change(entries)) }),
  });

const enrolling =
  (change: (entry: OutboxEntry) => OutboxEntry): Change =>
  (inner) => ({ enrol: (entries, manager) => inner.enrol(entries.map(change), manager) });

/** Writes at once, by a connection of its own. */
const autocommit: Change = (inner) => ({
  enrol: (entries) => inner.transactional(() => inner.enrol(entries)),
  transactional: (work) => work(),
});

const withoutKey = (entry: OutboxEntry): OutboxEntry => {
  const { key: _, ...envelope } = entry.envelope;
  return { ...entry, envelope };
};

const mutants: [string, Change, string][] = [
  ["writes outside the caller's transaction", autocommit, 'what was rolled back is never handed over'],
  ['hands over before the commit', autocommit, 'nothing is handed over before the commit, everything after it'],
  ['turns the order round', handing((entries) => [...entries].reverse()), 'the entries of one call keep their order'],
  [
    'loses headers',
    enrolling((entry) => ({ ...entry, envelope: { ...entry.envelope, headers: {} } })),
    'what was enrolled is handed over as it was',
  ],
  ['does not know keys', enrolling(withoutKey), 'an entry that failed waits, and holds back its key only'],
  [
    'lets two relays into a line',
    enrolling(withoutKey),
    'entries of a line that one relay holds are handed to no other',
  ],
  [
    'ignores delays',
    enrolling(({ envelope, transport }) => ({ envelope, transport })),
    'an entry with a time of its own comes then, never earlier, and holds back nobody',
  ],
  [
    'ignores transports',
    enrolling((entry) => ({ ...entry, transport: 'kafka' })),
    'entries of another transport are left alone',
  ],
  [
    'forgets what failed',
    (inner) => ({
      relay: (request) =>
        inner.relay({
          ...request,
          publish: async (entries) => (await request.publish(entries)).map(() => ({ type: 'published' })),
        }),
    }),
    'an entry that was left comes again, without a failure',
  ],
  [
    'takes any handle',
    (inner) => ({ enrol: async (entries) => inner.transactional(() => inner.enrol(entries)) }),
    'what is no open transaction is refused, and nothing is written',
  ],
  [
    'hints at nothing',
    () => ({ watch: () => async () => undefined }),
    'a commit is told to those who watch, a rollback is not',
  ],
  [
    'discards nothing',
    () => ({ discard: async () => 0 }),
    'a parked entry is out of its line, which goes on; it can be released and discarded',
  ],
  [
    'says that nothing waits',
    () => ({ lag: async () => ({ waiting: 0, oldestAgeMs: undefined, delayed: 0, parked: 0 }) }),
    'lag tells how much waits and for how long',
  ],
];

describe('a store that breaks the contract is found out', () => {
  const cases = (change: Change) => outboxStoreContract((): OutboxStoreHarness => ({ store: broken(change) }));

  test.each(mutants)('one that %s', async (_, change, name) => {
    const found = cases(change).find((each) => each.name === name);
    if (found === undefined) throw new Error(`there is no case "${name}"`);
    await expect(found.run()).rejects.toThrow();
  });

  test('one that breaks nothing is not', async () => {
    for (const { run } of cases(() => ({}))) await run();
  });
});

import { describe, expect, test } from '@jest/globals';
import type { DeadLetterStore } from '../../lib/dead-letter/dead-letter-store.js';
import { deadLetterStoreContract } from '../../lib/testing.js';
import { withBroker } from '../support/brokers.js';
import { DeadLettersWorld } from '../support/dead-letters-world.js';

type Change = (inner: DeadLetterStore) => Partial<DeadLetterStore>;

/** A store that does one thing otherwise. */
function broken(inner: DeadLetterStore, change: Change): DeadLetterStore {
  const same: DeadLetterStore = {
    prepare: () => inner.prepare(),
    add: (letters) => inner.add(letters),
    park: (letter) => inner.park(letter),
    follow: (letter) => inner.follow(letter),
    list: (filter, page) => inner.list(filter, page),
    count: (filter) => inner.count(filter),
    get: (id) => inner.get(id),
    history: (id) => inner.history(id),
    request: (filter, request) => inner.request(filter, request),
    replace: (id, edited, request) => inner.replace(id, edited, request),
    redrive: (id) => inner.redrive(id),
    redrives: (page) => inner.redrives(page),
    results: (id, page) => inner.results(id, page),
    abort: (id, operator) => inner.abort(id, operator),
    discard: (filter, operator) => inner.discard(filter, operator),
    claim: (request) => inner.claim(request),
    extend: (letters, claim) => inner.extend(letters, claim),
    settle: (claim, by) => inner.settle(claim, by),
    release: (letters, by) => inner.release(letters, by),
  };
  return { ...same, ...change(inner) };
}

const withoutKey: Change = (inner) => ({
  add: (letters) =>
    inner.add(letters.map(({ original: { key: _, ...original }, ...letter }) => ({ ...letter, original }))),
});

const mutants: [string, Change, string][] = [
  [
    'loses headers',
    (inner) => ({
      add: (all) => inner.add(all.map((each) => ({ ...each, original: { ...each.original, headers: {} } }))),
    }),
    'bytes, headers and keys are kept exactly',
  ],
  ['does not know keys', withoutKey, 'those of a key one at a time, in the order they were added'],
  ['runs two of a key in two processes', withoutKey, 'the order of a key holds over several processes'],
  [
    'lets a lease end at once',
    (inner) => ({ claim: (request) => inner.claim({ ...request, leaseMs: 0 }) }),
    'several processes claim: each dead letter once',
  ],
  [
    'takes any result',
    (inner) => ({
      settle: async (claim, by) => {
        await inner.settle(claim, by);
        await inner.settle(claim, 'two');
      },
    }),
    'what a process that is gone had claimed is handed out again after the lease',
  ],
  [
    'forgets the rate',
    (inner) => ({ request: (filter, { by }) => inner.request(filter, { by }) }),
    'the rate of a redrive holds over all processes',
  ],
  [
    'parks no key',
    (inner) => ({ park: (letter) => inner.add([letter]) }),
    'a key is held back once it is parked, for all, and only this one',
  ],
  [
    'loses what follows',
    (inner) => ({ follow: (letter) => inner.follow({ ...letter, id: 'always the same' }) }),
    'what follows goes on by itself after the first, in order, in the same redrive; then the key is free',
  ],
  [
    'lets the rest of a parked key go on behind one that fails',
    (inner) => ({
      settle: ({ letter, result }, by) =>
        inner.settle({ letter, result: result === 'failed' ? 'dropped' : result }, by),
    }),
    'when one of them fails, the rest follows it',
  ],
  [
    'ignores what fails',
    (inner) => ({ settle: ({ letter }, by) => inner.settle({ letter, result: 'handled' }, by) }),
    'one that fails again waits with its new failure, and can be redriven again',
  ],
  [
    'aborts what it likes',
    () => ({ abort: async () => ({ state: 'aborted' }) as never }),
    'an abort leaves what has not begun waiting, and what runs comes to its end',
  ],
  [
    'reads one that is done with as a new one',
    (inner) => ({
      add: (all) => inner.add(all.map((each) => ({ ...each, lastFailureAt: new Date().toISOString() }))),
    }),
    'one that is done with and fails anew is waiting again; read once more it is not',
  ],
  [
    'discards what is requested',
    (inner) => ({
      discard: async (filter, operator) => {
        for (const { id } of (await inner.redrives({})).items) await inner.abort(id, operator);
        return inner.discard(filter, operator);
      },
    }),
    'discarding counts what it took, and leaves what is being redriven',
  ],
];

withBroker('postgres', 'DATABASE_URL', (url) => {
  describe('a store of dead letters that breaks the contract is found out', () => {
    test.each(mutants)('one that %s', async (_, change, name) => {
      const create = async () => {
        const world = await DeadLettersWorld.open(url);
        return {
          store: broken(world.store, change),
          another: async () => broken(await world.another(), change),
          close: () => world.close(),
        };
      };
      const found = deadLetterStoreContract(create).find((each) => each.name === name);
      if (found === undefined) throw new Error(`there is no case "${name}"`);
      await expect(found.run()).rejects.toMatchObject({ code: 'ERR_ASSERTION' });
    });
  });
});

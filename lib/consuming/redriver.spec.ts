import { afterEach, describe, expect, test } from '@jest/globals';
import { eventually } from '../../test/support/eventually.js';
import { ManualClock } from '../../test/support/manual-clock.js';
import { RecordingLogger } from '../../test/support/recording-logger.js';
import type { Breakers } from '../core/breaker.js';
import type { DeadLetter } from '../core/dead-letter.js';
import type { Subscription } from '../core/subscription.js';
import type { ClaimRequest, DeadLetterClaims, SettledClaim } from '../dead-letter/dead-letter-store.js';
import { HandlersHere } from './handlers-here.js';
import type { RedriveLanes, RedriveTask } from './redrive-lanes.js';
import { Redriver } from './redriver.js';

const mails = { group: 'shop', handler: 'mails', aliases: ['old-mails'], concurrency: 2 } as unknown as Subscription;
const views = { group: 'shop', handler: 'views', aliases: [], concurrency: 1 } as unknown as Subscription;
const letter = (id: string): DeadLetter => ({ id, group: 'shop', handler: 'old-mails' }) as DeadLetter;

/** A store that hands out what a test puts in, and tells what it was asked. */
class Claims implements DeadLetterClaims {
  readonly asked: ClaimRequest[] = [];
  readonly settled: SettledClaim[] = [];
  readonly released: string[] = [];
  waiting: DeadLetter[] = [];
  stolen = new Set<string>();
  away = false;

  async claim(request: ClaimRequest) {
    this.asked.push(request);
    if (this.away) throw new Error('the database is away');
    return this.waiting.splice(0, request.limit).map((each) => ({ letter: each, redriveId: 'r' }));
  }
  async extend(letters: readonly string[]) {
    return letters.filter((id) => !this.stolen.has(id));
  }
  async settle(claim: SettledClaim) {
    this.settled.push(claim);
  }
  async release(letters: readonly string[]) {
    this.released.push(...letters);
  }
}

class World {
  readonly clock = new ManualClock();
  readonly store = new Claims();
  readonly logger = new RecordingLogger();
  readonly tasks: RedriveTask[] = [];
  readonly limits = new Map<Subscription, number>();
  readonly redriver: Redriver;

  constructor() {
    const lanes = {
      push: (task: RedriveTask) => this.tasks.push(task),
      close: () => undefined,
      idle: async () => undefined,
    };
    const of = (each: Subscription) => ({
      limit: { now: this.limits.get(each) ?? Infinity, onChange: () => () => undefined },
    });
    this.redriver = new Redriver({
      ...{ clock: this.clock, logger: this.logger, store: this.store, by: 'me', pollMs: 100 },
      lanes: lanes as unknown as RedriveLanes,
      breakers: { of } as unknown as Breakers,
      handlers: new HandlersHere(() => [mails, views]),
    });
    this.redriver.start();
  }
}

describe('the redriver', () => {
  let world: World;
  afterEach(() => world.redriver.stop());

  test('asks for the handlers of this process by all their ids, no more than they can take', async () => {
    world = new World();
    world.store.waiting = ['1', '2', '3', '4', '5', '6'].map(letter);
    world.redriver.hint();
    await eventually(() => world.tasks.length === 6);
    expect(world.store.asked[0]).toMatchObject({
      ...{ consumers: ['shop.mails', 'shop.old-mails', 'shop.views'], limit: 6, by: 'me', leaseMs: 30_000 },
    });
    expect(world.tasks[0]?.subscription).toBe(mails);
  });

  test('claims nothing for a handler whose breaker is open', async () => {
    world = new World();
    world.limits.set(mails, 0);
    world.redriver.hint();
    await eventually(() => world.store.asked.some(({ consumers }) => consumers.join() === 'shop.views'));
    const asked = world.store.asked.length;
    world.redriver.hint();
    await eventually(() => world.store.asked.length > asked);
    expect(world.store.asked.slice(asked).some(({ consumers }) => consumers.includes('shop.mails'))).toBe(false);
  });

  test('stops what it has lost, keeps what it has, and frees the place of what is settled', async () => {
    world = new World();
    world.store.waiting = ['kept', 'stolen'].map(letter);
    world.redriver.hint();
    await eventually(() => world.tasks.length === 2);
    world.store.stolen.add('stolen');
    await eventually(async () => {
      world.clock.advance(10_000);
      return world.tasks[1]?.lost.aborted;
    });
    expect(world.tasks[0]?.lost.aborted).toBe(false);
    const asked = world.store.asked.length;
    await world.tasks[0]?.settle({ result: 'handled' });
    expect(world.store.settled).toEqual([{ letter: 'kept', result: 'handled' }]);
    await eventually(() => world.store.asked.length > asked);
  });

  test('says once that the store is away, and goes on when it is back', async () => {
    world = new World();
    world.store.away = true;
    world.redriver.hint();
    await eventually(() => {
      world.clock.advance(1_000);
      return world.store.asked.length > 4;
    });
    expect(world.logger.messages('warn')).toHaveLength(1);
    world.store.away = false;
    world.store.waiting = [letter('1')];
    await eventually(() => {
      world.clock.advance(10_000);
      return world.tasks.length === 1;
    });
  });

  test('what is claimed while it stops is given back', async () => {
    world = new World();
    await eventually(() => world.store.asked.length > 0);
    world.store.waiting = [letter('late')];
    world.redriver.hint();
    await world.redriver.stop();
    await world.redriver.drain();
    expect(world.tasks.length + world.store.released.length + world.store.waiting.length).toBe(1);
  });
});

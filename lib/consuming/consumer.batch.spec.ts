import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ManualClock } from '../../test/support/manual-clock.js';
import { RecordingLogger } from '../../test/support/recording-logger.js';
import type { Activity, Report } from '../core/activity.js';
import type { BatchAttempt } from '../core/batch.js';
import { BatchError } from '../core/batch-error.js';
import type { DeadLetter } from '../core/dead-letter.js';
import { createEnvelope } from '../core/envelope.js';
import { HandlerLanes } from '../core/handler-lanes.js';
import { outcome, type Outcome } from '../core/outcome.js';
import { HandlingScope } from '../core/scope.js';
import type { RetryOptions } from '../core/retry-options.js';
import type { Subscription } from '../core/subscription.js';
import { CircuitBreakers } from '../retry/circuit-breakers.js';
import { DEFAULT_RETRY, RetryPolicy } from '../retry/retry-policy.js';
import { Consumer } from './consumer.js';
import { consumerPipeline } from './consumer.pipeline.js';

const BACKOFF = { ...DEFAULT_RETRY.backoff, jitter: false };
const RETRY = { ...DEFAULT_RETRY, backoff: BACKOFF, breaker: { backoff: BACKOFF } };
const refused = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
const deadlock = Object.assign(new Error('deadlock detected'), { code: '40P01' });
const boom = new RangeError('boom');

type Handle = (ids: string[], batch: BatchAttempt) => unknown;

/** Events named like `a1` (key a, or none if it begins with `-`) in one batch of all that are pushed, to a handler that does as told. */
class World {
  readonly clock = new ManualClock(1_000_000);
  readonly logger = new RecordingLogger();
  readonly activities: Activity[] = [];
  readonly letters: DeadLetter[] = [];
  readonly runs: string[] = [];
  readonly attempts: BatchAttempt[] = [];
  /** What was settled, in order: `a1`, or `a1 released`. */
  readonly settled: string[] = [];
  readonly scope = new HandlingScope();
  readonly lanes: HandlerLanes;
  readonly #subscription: Subscription;

  constructor(
    private readonly handle: Handle,
    subscription: Partial<Subscription> = {},
    retry: RetryOptions = RETRY,
  ) {
    this.#subscription = {
      ...{ handler: 'views', group: 'shop', aliases: [], patterns: [], idempotent: true, transportOptions: {} },
      ...{ ordering: 'key', afterDeadLetter: 'continue', concurrency: 4, batch: { size: 100, waitMs: 20 } },
      ...subscription,
    };
    const { clock, logger } = this;
    const report: Report = (activity) => void this.activities.push(activity);
    const breakers = new CircuitBreakers({ clock, logger, report, optionsOf: () => retry });
    const consumer = new Consumer({
      ...{ clock, logger, report, breakers },
      policy: new RetryPolicy(() => retry, clock),
      deadline: new AbortController().signal,
      pipeline: consumerPipeline((attempt) => this.#invoke(attempt as BatchAttempt), this.scope),
      writeDeadLetter: async (letter) => void this.letters.push(letter),
    });
    this.lanes = new HandlerLanes({
      clock: this.clock,
      logger: this.logger,
      process: (delivery, slot) => consumer.process(delivery, slot),
      processBatch: (deliveries, slot) => consumer.processBatch(deliveries, slot),
      limitOf: (of) => breakers.of(of).limit,
    });
  }

  /** Pushes the events and lets their batch begin. */
  async push(ids: readonly string[], lost: readonly AbortController[] = []): Promise<this> {
    for (const [index, id] of ids.entries()) {
      const key = id.startsWith('-') ? {} : { key: id[0] as string };
      const envelope = createEnvelope({ name: 'analytics.page.viewed', source: 'shop', id, data: { id }, ...key });
      this.lanes.push({
        subscription: this.#subscription,
        content: { envelope },
        raw: { place: { transport: 'memory', address: 'a' }, body: null, headers: {} },
        redelivered: false,
        lost: (lost[index] ?? new AbortController()).signal,
        acknowledge: () => this.settled.push(id),
        release: () => this.settled.push(`${id} released`),
      });
    }
    await this.clock.advanceAsync(20);
    return this;
  }

  of(type: Activity['type']): unknown[] {
    return this.activities.filter((each) => each.type === type).map((each) => ('id' in each ? each.id : undefined));
  }

  deadLetters(): unknown[] {
    return this.letters.map(({ eventId, attempts, error }) => [eventId, attempts, error.message]);
  }

  async #invoke(batch: BatchAttempt): Promise<Outcome> {
    this.attempts.push(batch);
    const ids = batch.envelopes.map(({ id }) => id);
    this.runs.push(ids.join(' '));
    const result = await this.handle(ids, batch);
    return (result as Outcome | undefined) ?? outcome.ack();
  }
}

/** Throws for a run with one of these in it. */
const failingFor =
  (...bad: string[]): Handle =>
  (ids) => {
    if (ids.some((id) => bad.includes(id))) throw boom;
  };

/** Names those of these that are in a run. */
const naming =
  (...bad: string[]): Handle =>
  (ids) => {
    const failures = ids.flatMap((id, index) => (bad.includes(id) ? [{ index, error: new Error(`bad ${id}`) }] : []));
    if (failures.length > 0) throw new BatchError(failures);
  };

const MINUTE_MS = 60_000;

describe('a batch', () => {
  it('is one run, and each of its deliveries is settled and reported', async () => {
    const world = await new World(() => undefined).push(['a1', 'b1', 'a2']);
    expect(world.runs).toEqual(['a1 b1 a2']);
    expect(world.settled).toEqual(['a1', 'b1', 'a2']);
    expect(world.of('handled')).toEqual(['a1', 'b1', 'a2']);
    expect(world.attempts[0]).toMatchObject({ attempt: 1, subscription: { handler: 'views' } });
  });

  it('is no single cause: what its handler publishes has no derived ids', async () => {
    const seen: unknown[] = [];
    const world: World = new World(() => {
      seen.push(world.scope.current(), world.scope.nextEventId());
    });
    await world.push(['a1', 'b1']);
    expect(seen).toEqual([undefined, undefined]);
  });

  it('counts as duplicates what was not handed over', async () => {
    const world = new World((_, batch) => batch.handOver([0, 2]));
    await world.push(['a1', 'b1', 'c1']);
    expect(world.attempts[0]?.envelopes.map(({ id }) => id)).toEqual(['a1', 'c1']);
    expect([world.of('handled'), world.of('duplicate')]).toEqual([['a1', 'c1'], ['b1']]);
    expect(world.settled).toEqual(['a1', 'b1', 'c1']);
  });

  it('of one is a run by itself, with attempts that count', async () => {
    const world = await new World(failingFor('a1')).push(['a1']);
    await world.clock.advanceAsync(MINUTE_MS);
    expect(world.attempts.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4]);
    expect(world.deadLetters()).toEqual([['a1', 4, 'boom']]);
    expect(world.settled).toEqual(['a1']);
  });

  it('takes an outcome for all of it', async () => {
    const world = await new World(() => outcome.drop('too old')).push(['a1', 'b1']);
    expect([world.of('dropped'), world.settled]).toEqual([
      ['a1', 'b1'],
      ['a1', 'b1'],
    ]);
  });
});

describe('a batch that fails', () => {
  it('is run in halves until the bad one stands alone, which has its own attempts and dead letter', async () => {
    const ids = ['a1', 'b1', 'c1', 'd1', 'e1', 'f1', 'g1', 'h1'];
    const world = await new World(failingFor('c1')).push(ids);
    expect(world.runs.slice(0, 4)).toEqual(['a1 b1 c1 d1 e1 f1 g1 h1', 'a1 b1 c1 d1', 'a1 b1', 'c1 d1']);
    await world.clock.advanceAsync(MINUTE_MS);
    expect(world.runs.slice(4)).toEqual(['e1 f1 g1 h1', 'c1', 'd1', 'c1', 'c1', 'c1']);
    expect(world.deadLetters()).toEqual([['c1', 4, 'boom']]);
    expect(world.of('handled').toSorted()).toEqual(ids.filter((id) => id !== 'c1'));
    expect(world.settled).toHaveLength(8);
  });

  it('keeps what follows the bad one in its key behind it, and nothing else', async () => {
    const world = await new World(failingFor('a2')).push(['b1', 'a1', 'a2', 'a3', 'b2', '-1', 'a4', 'c1']);
    expect(world.settled).toEqual(['b1', 'a1', 'b2', '-1', 'c1']);
    await world.clock.advanceAsync(MINUTE_MS);
    expect(world.settled.slice(5)).toEqual(['a2', 'a3', 'a4']);
    expect(world.of('dead-lettered')).toEqual(['a2']);
  });

  it('holds no key where the handler wants no order', async () => {
    const world = await new World(failingFor('a1'), { ordering: 'none' }).push(['a1', 'a2', 'a3', 'a4']);
    expect(world.settled.toSorted()).toEqual(['a2', 'a3', 'a4']);
  });

  it.each([
    ['a broken dependency', refused],
    ['a conflict', deadlock],
  ])('for %s waits as a whole: nobody is to blame, and no attempt is used up', async (_, error) => {
    let left = 8;
    const world = await new World(() => {
      if (left-- > 0) throw error;
    }).push(['a1', 'b1', 'c1']);
    expect(world.of('retried')).toEqual(['a1', 'b1', 'c1']);
    await world.clock.advanceAsync(MINUTE_MS);
    expect(new Set(world.runs)).toEqual(new Set(['a1 b1 c1']));
    expect(world.attempts.map(({ attempt }) => attempt)).toEqual(Array.from({ length: 9 }, () => 1));
    expect(world.attempts.map((each) => each.dependencyFailures + each.conflicts)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect([world.settled, world.letters]).toEqual([['a1', 'b1', 'c1'], []]);
  });

  it('while it waits holds its keys and not the place', async () => {
    let works = false;
    const world = new World(
      (ids) => {
        if (!works && ids.includes('a1')) throw deadlock;
      },
      { concurrency: 1, batch: { size: 2, waitMs: 20 } },
    );
    await world.push(['a1', 'b1']);
    await world.push(['a2', 'c1', 'd1']);
    expect(world.settled).toEqual(['c1', 'd1']);
    works = true;
    await world.clock.advanceAsync(MINUTE_MS);
    expect(world.settled.slice(2)).toEqual(['a1', 'b1', 'a2']);
  });

  it('is given back when it closes while it waits', async () => {
    const world = await new World(() => Promise.reject(deadlock)).push(['a1', 'b1']);
    world.lanes.close();
    await world.clock.advanceAsync(0);
    expect(world.settled).toEqual(['a1 released', 'b1 released']);
    expect([world.runs.length, world.clock.pending]).toEqual([1, 0]);
    await world.lanes.idle();
  });

  it('for a broken dependency holds up the other batches of the handler too, and one of them tries', async () => {
    let works = false;
    const world = new World(
      () => {
        if (!works) throw refused;
      },
      { concurrency: 2, batch: { size: 2, waitMs: 20 } },
    );
    await world.push(['a1', 'b1', 'c1', 'd1', 'e1', 'f1']);
    // Two batches ran when it broke; then one of the others, and again one of them.
    expect(world.runs).toEqual(['a1 b1', 'c1 d1']);
    await world.clock.advanceAsync(80);
    expect(world.runs.slice(2)).toEqual(['e1 f1']);
    await world.clock.advanceAsync(199);
    expect(world.runs).toHaveLength(3);
    works = true;
    await world.clock.advanceAsync(1);
    expect(world.runs.slice(3)).toEqual(['a1 b1', 'c1 d1', 'e1 f1']);
    expect(world.letters).toEqual([]);
    expect(new Set(world.settled)).toEqual(new Set(['a1', 'b1', 'c1', 'd1', 'e1', 'f1']));
  });

  it('that a rule drops is dropped event by event, as far as they are at fault', async () => {
    const drop = [{ class: RangeError, action: 'drop' as const }];
    const world = new World(
      (ids) => {
        if (ids.includes('c1')) throw boom;
      },
      {},
      { ...RETRY, rules: drop },
    );
    await world.push(['a1', 'b1', 'c1', 'd1']);
    await world.clock.advanceAsync(MINUTE_MS);
    expect([...world.settled].sort()).toEqual(['a1', 'b1', 'c1', 'd1']);
    expect(world.activities.filter(({ type }) => type === 'dropped')).toMatchObject([{ id: 'c1' }]);
  });

  it('when it closes in the middle settles what is done and gives back the rest', async () => {
    let finish = (): void => undefined;
    const world = new World(async (ids) => {
      if (ids.length > 2) throw boom;
      await new Promise<void>((resolve) => (finish = resolve));
    });
    await world.push(['a1', 'b1', 'c1', 'd1']);
    expect(world.runs).toEqual(['a1 b1 c1 d1', 'a1 b1']);
    world.lanes.close();
    finish();
    await world.lanes.idle();
    expect(world.settled).toEqual(['a1', 'b1', 'c1 released', 'd1 released']);
  });

  it('gives back what was lost meanwhile, and settles the others', async () => {
    const lost = new AbortController();
    const world = new World((_, batch) => {
      lost.abort();
      expect(batch.signal.aborted).toBe(true);
    });
    await world.push(['a1', 'b1', 'c1'], [new AbortController(), lost]);
    expect(world.settled).toEqual(['a1', 'b1 released', 'c1']);
  });

  it('because some of it was lost runs the others again together', async () => {
    const lost = new AbortController();
    const world = new World((ids) => {
      if (!ids.includes('b1')) return;
      lost.abort();
      throw boom;
    });
    await world.push(['a1', 'b1', 'c1', 'd1'], [new AbortController(), lost]);
    expect(world.runs).toEqual(['a1 b1 c1 d1', 'a1 c1 d1']);
    expect(world.settled).toEqual(['b1 released', 'a1', 'c1', 'd1']);
  });

  it('is one run less for each that a guard or store denies for good', async () => {
    const denied = Object.assign(new Error('denied'), { getStatus: () => 403 });
    const world = await new World((ids) => {
      if (ids.includes('b1')) throw denied;
    }).push(['a1', 'b1']);
    expect(world.runs).toEqual(['a1 b1', 'a1', 'b1']);
    expect(world.deadLetters()).toEqual([['b1', 1, 'denied']]);
  });
});

describe('a BatchError', () => {
  it('says who is at fault: that run was their first attempt, and the others run again at once', async () => {
    const world = await new World(naming('b1', 'd1')).push(['a1', 'b1', 'c1', 'd1']);
    expect(world.runs).toEqual(['a1 b1 c1 d1', 'a1 c1']);
    expect(world.settled).toEqual(['a1', 'c1']);
    expect(world.of('retried')).toEqual(['b1', 'd1']);
    await world.clock.advanceAsync(MINUTE_MS);
    expect(world.attempts.map(({ attempt }) => attempt)).toEqual([1, 1, 2, 2, 3, 3, 4, 4]);
    expect(world.deadLetters()).toEqual([
      ['b1', 4, 'bad b1'],
      ['d1', 4, 'bad d1'],
    ]);
  });

  it('holds the keys of those it names, from them on', async () => {
    const world = await new World(naming('a2')).push(['a1', 'b1', 'a2', 'a3', 'b2']);
    expect(world.runs).toEqual(['a1 b1 a2 a3 b2', 'a1 b1 b2']);
    await world.clock.advanceAsync(MINUTE_MS);
    expect(world.settled).toEqual(['a1', 'b1', 'b2', 'a2', 'a3']);
  });

  it('keeps the order of a key when one before the named one turns out to be bad, too', async () => {
    const world = new World((ids, batch) => {
      naming('a2')(ids, batch);
      failingFor('a1')(ids, batch);
    });
    await world.push(['a1', 'b1', 'a2', 'c1']);
    await world.clock.advanceAsync(MINUTE_MS);
    expect(world.settled.filter((id) => id.startsWith('a'))).toEqual(['a1', 'a2']);
    expect(world.of('dead-lettered')).toEqual(['a1', 'a2']);
  });

  it('has the indices of what the handler was given', async () => {
    const world = new World((_, batch) => {
      if (batch.deliveries.length < 4) return;
      batch.handOver([1, 3]);
      throw new BatchError([{ index: 1, error: boom }]);
    });
    await world.push(['a1', 'b1', 'c1', 'd1']);
    expect(world.runs[1]).toBe('a1 b1 c1');
    expect(world.of('retried')).toEqual(['d1']);
  });

  it('is found in the outcome that a filter made of it, and its errors decide, each for its own event', async () => {
    const gone = Object.assign(new Error('gone'), { getStatus: () => 422 });
    const errors = [
      { index: 0, error: gone },
      { index: 1, error: refused },
    ];
    let left = 1;
    const world = new World(() => (left-- > 0 ? outcome.retry(new BatchError(errors), { afterMs: 5 }) : undefined));
    await world.push(['a1', 'b1', 'c1', 'd1']);
    expect(world.deadLetters()).toEqual([['a1', 1, 'gone']]);
    await world.clock.advanceAsync(MINUTE_MS);
    expect(world.runs).toEqual(['a1 b1 c1 d1', 'c1 d1', 'b1']);
    expect(world.attempts.at(-1)).toMatchObject({ attempt: 1, dependencyFailures: 1 });
  });

  it('about an event that runs by itself is the error of that event', async () => {
    const world = await new World(naming('a1')).push(['a1']);
    await world.clock.advanceAsync(MINUTE_MS);
    expect(world.deadLetters()).toEqual([['a1', 4, 'bad a1']]);
  });

  it.each([[[]], [[2]], [[-1]], [[0.5]], [[0, 7]]])(
    'with the indices %j is warned about, and the batch is split as for any error',
    async (indices) => {
      const world = new World((ids) => {
        if (ids.length > 1) throw new BatchError(indices.map((index) => ({ index, error: boom })));
      });
      await world.push(['a1', 'b1']);
      expect(world.runs).toEqual(['a1 b1', 'a1', 'b1']);
      expect(world.of('handled')).toEqual(['a1', 'b1']);
      expect(world.logger.messages('warn')).toEqual([expect.stringMatching(/^shop\.views threw a BatchError/)]);
    },
  );
});

describe('batches with any bad events, named or not', () => {
  it('have each good event once, each bad one in the dead letters after four attempts, and the order of each key', async () => {
    const event = fc.record({
      key: fc.constantFrom('a', 'b', 'c', '-'),
      kind: fc.constantFrom('good', 'good', 'bad', 'named'),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(event, { minLength: 1, maxLength: 30 }),
        fc.integer({ min: 1, max: 12 }),
        async (events, size) => {
          const ids = events.map(({ key }, n) => `${key}${n}`);
          const of = (kind: string): string[] => ids.filter((_, n) => events[n]?.kind === kind);
          const tries = new Map<string, number>();
          const effects: string[] = [];
          const world = new World(
            (run, batch) => {
              if (run.length === 1) tries.set(run[0] as string, batch.attempt);
              naming(...of('named'))(run, batch);
              failingFor(...of('bad'))(run, batch);
              effects.push(...run);
            },
            { batch: { size, waitMs: 20 } },
          );
          await world.push(ids);
          await world.clock.advanceAsync(60 * MINUTE_MS);
          expect(effects.toSorted()).toEqual(of('good').toSorted());
          expect(world.letters.map(({ eventId }) => eventId).toSorted()).toEqual(
            [...of('bad'), ...of('named')].toSorted(),
          );
          expect(new Set(world.letters.map(({ attempts }) => attempts))).toEqual(
            new Set(world.letters.length === 0 ? [] : [4]),
          );
          for (const key of ['a', 'b', 'c']) {
            expect(world.settled.filter((id) => id.startsWith(key))).toEqual(ids.filter((id) => id.startsWith(key)));
          }
          expect(world.clock.pending).toBe(0);
        },
      ),
      { numRuns: 150 },
    );
  });
});

import { describe, expect, it } from '@jest/globals';
import { ManualClock } from '../../test/support/manual-clock.js';
import type { Activity, Report } from '../core/activity.js';
import type { DeadLetter } from '../core/dead-letter.js';
import type { Attempt, Delivery } from '../core/delivery.js';
import { createEnvelope } from '../core/envelope.js';
import { Lanes } from '../core/lanes.js';
import { outcome, type Outcome } from '../core/outcome.js';
import { HandlingScope } from '../core/scope.js';
import type { Subscription } from '../core/subscription.js';
import { CircuitBreakers } from '../retry/circuit-breakers.js';
import { DEFAULT_RETRY, RetryPolicy } from '../retry/retry-policy.js';
import { Consumer } from './consumer.js';
import { consumerPipeline } from './consumer.pipeline.js';

const subscription = {
  handler: 'mails',
  group: 'shop',
  ordering: 'key',
  afterDeadLetter: 'continue',
  concurrency: 1,
} as Subscription;
const envelope = createEnvelope({ name: 'orders.order.placed', source: 'shop', data: { total: 1 }, key: 'ann' });
const BACKOFF = { ...DEFAULT_RETRY.backoff, jitter: false };
const RETRY = { ...DEFAULT_RETRY, backoff: BACKOFF, breaker: { backoff: BACKOFF } };
const refused = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });

interface World {
  readonly clock: ManualClock;
  readonly activities: Activity[];
  readonly letters: DeadLetter[];
  readonly attempts: Attempt[];
  readonly settled: string[];
  readonly lost: AbortController;
  readonly lanes: Lanes<Delivery>;
  push(content?: Delivery['content']): void;
  types(): string[];
}

/** A consumer with one lane over a handler that does as told, and dead letters that may fail to be written. */
function world(handle: (attempt: Attempt) => Promise<Outcome>, writeFailures = 0): World {
  const clock = new ManualClock(1_000_000);
  const activities: Activity[] = [];
  const letters: DeadLetter[] = [];
  const attempts: Attempt[] = [];
  const settled: string[] = [];
  const lost = new AbortController();
  let failures = writeFailures;
  const logger = { debug() {}, log() {}, warn() {}, error() {} };
  const report: Report = (activity) => void activities.push(activity);
  const breakers = new CircuitBreakers({ clock, logger, report, optionsOf: () => RETRY });
  const consumer = new Consumer({
    ...{ clock, logger, report, breakers },
    policy: new RetryPolicy(() => RETRY, clock),
    deadline: new AbortController().signal,
    pipeline: consumerPipeline((attempt) => {
      attempts.push(attempt as Attempt);
      return handle(attempt as Attempt);
    }, new HandlingScope()),
    writeDeadLetter: async (letter) => {
      if (failures-- > 0) throw new Error('the dead-letter queue is gone');
      letters.push(letter);
      settled.push('written');
    },
  });
  const lanes = new Lanes<Delivery>({
    concurrency: 1,
    limit: breakers.of(subscription).limit,
    clock,
    run: (delivery, slot) => consumer.process(delivery, slot),
    onError: (error) => {
      throw error;
    },
  });
  const push = (content: Delivery['content'] = { envelope }): void => {
    lanes.push(
      {
        subscription,
        content,
        raw: { place: { transport: 'memory', address: 'a' }, body: Buffer.from([0, 255]), headers: {} },
        redelivered: false,
        lost: lost.signal,
        acknowledge: () => settled.push('acknowledged'),
        release: () => settled.push('released'),
      },
      'ann',
    );
  };
  const types = (): string[] => activities.map(({ type }) => type);
  return { clock, activities, letters, attempts, settled, lost, lanes, push, types };
}

describe('a consumer', () => {
  it('acknowledges once, after the handler is done', async () => {
    let finish = (): void => undefined;
    const { push, settled, clock, types } = world(async () => {
      await new Promise<void>((resolve) => (finish = resolve));
      return outcome.ack();
    });
    push();
    await clock.advanceAsync(60_000);
    expect(settled).toEqual([]);
    finish();
    await clock.advanceAsync(0);
    expect(settled).toEqual(['acknowledged']);
    expect(types()).toEqual(['handled']);
  });

  it('tries four times with growing waits, then writes the dead letter and only then acknowledges', async () => {
    const { push, settled, clock, letters, attempts } = world(() => Promise.reject(new RangeError('boom')));
    push();
    await clock.advanceAsync(699);
    expect(attempts.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    await clock.advanceAsync(1);
    expect(attempts).toHaveLength(4);
    expect(settled).toEqual(['written', 'acknowledged']);
    expect(letters[0]).toMatchObject({
      group: 'shop',
      handler: 'mails',
      event: 'orders.order.placed',
      eventId: envelope.id,
      attempts: 4,
      error: { code: 'RangeError', message: 'boom' },
      firstFailureAt: new Date(1_000_000).toISOString(),
      lastFailureAt: new Date(1_000_700).toISOString(),
    });
    expect(letters[0]?.original.body).toEqual(Buffer.from([0, 255]));
  });

  it('turns whatever a handler throws, also synchronously and also undefined, into an outcome', async () => {
    for (const thrown of [undefined, null, 'text', 7, Object.create(null) as unknown]) {
      const { push, settled, clock } = world(() => {
        throw thrown;
      });
      push();
      await clock.advanceAsync(10_000);
      expect(settled).toEqual(['written', 'acknowledged']);
    }
  });

  it('waits for a broken dependency without using up attempts', async () => {
    let left = 30;
    const { push, settled, clock, attempts, letters } = world(async () => {
      if (left-- > 0) throw refused;
      return outcome.ack();
    });
    push();
    await clock.advanceAsync(1_000_000);
    expect(settled).toEqual(['acknowledged']);
    expect(letters).toEqual([]);
    expect(attempts).toHaveLength(31);
    expect(new Set(attempts.map(({ attempt }) => attempt))).toEqual(new Set([1]));
  });

  it('says of each retry how long it really waits: as long as the breaker is open', async () => {
    const { push, clock, activities } = world(() => Promise.reject(refused));
    push();
    await clock.advanceAsync(100 + 200 + 400);
    const waits = activities.flatMap((each) => (each.type === 'retried' ? [each.afterMs] : []));
    const open = activities.flatMap((each) => (each.type === 'breaker' && each.state === 'open' ? [each.forMs] : []));
    expect(waits).toEqual([100, 200, 400, 800]);
    expect(open).toEqual([0, 100, 300, 700]);
  });

  it('goes on with the next event when the one that should have tried is lost, or cannot be decoded', async () => {
    let away = true;
    const { push, settled, clock, activities, lost } = world(async () => {
      if (away) throw refused;
      return outcome.ack();
    });
    const states = (): string[] => activities.flatMap((each) => (each.type === 'breaker' ? [each.state] : []));
    push();
    push({ undecodable: new Error('not JSON') });
    await clock.advanceAsync(0);
    away = false;
    lost.abort();
    await clock.advanceAsync(100);
    expect([settled[0], states()]).toEqual(['released', ['open', 'half-open']]);
  });

  it('does not acknowledge while the dead letter cannot be written, tells, and tries again', async () => {
    const { push, settled, clock, types } = world(async () => outcome.deadLetter(new Error('bad')), 3);
    push();
    await clock.advanceAsync(200 + 400);
    expect(settled).toEqual([]);
    expect(types()).toEqual(['dead-letter-failed', 'dead-letter-failed', 'dead-letter-failed']);
    await clock.advanceAsync(800);
    expect(settled).toEqual(['written', 'acknowledged']);
  });

  it('parks what cannot be decoded at once, without calling the handler', async () => {
    const { push, settled, clock, attempts, letters } = world(async () => outcome.ack());
    push({ undecodable: Object.assign(new Error('not JSON'), { code: 'EVENTS_UNDECODABLE' }) });
    await clock.advanceAsync(0);
    expect(attempts).toEqual([]);
    expect(settled).toEqual(['written', 'acknowledged']);
    expect(letters[0]).toMatchObject({ attempts: 1, error: { code: 'EVENTS_UNDECODABLE' } });
    expect(letters[0]).not.toHaveProperty('event');
  });

  it('hands a parked delivery back when it closes, instead of waiting or acknowledging', async () => {
    const { push, settled, clock, lanes } = world(() => Promise.reject(new Error('boom')));
    push();
    await clock.advanceAsync(0);
    lanes.close();
    await clock.advanceAsync(0);
    expect(settled).toEqual(['released']);
  });

  it('neither acknowledges nor parks what was lost while the handler ran', async () => {
    for (const decided of [outcome.ack(), outcome.deadLetter(new Error('bad'))]) {
      const { push, settled, clock, lost } = world(async () => {
        lost.abort();
        return decided;
      });
      push();
      await clock.advanceAsync(0);
      expect(settled).toEqual(['released']);
    }
  });

  it('tells the handler when the delivery is lost', async () => {
    const { push, clock, lost, attempts } = world(async ({ signal }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      return outcome.ack();
    });
    push();
    await clock.advanceAsync(0);
    expect(attempts[0]?.signal.aborted).toBe(false);
    lost.abort();
    expect(attempts[0]?.signal.aborted).toBe(true);
  });
});

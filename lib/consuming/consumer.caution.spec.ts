import { describe, expect, it } from '@jest/globals';
import { ManualClock } from '../../test/support/manual-clock.js';
import { RecordingLogger } from '../../test/support/recording-logger.js';
import type { Activity, Report } from '../core/activity.js';
import type { AnyAttempt } from '../core/batch.js';
import type { DeadLetter } from '../core/dead-letter.js';
import { createEnvelope } from '../core/envelope.js';
import { HandlerLanes } from '../core/handler-lanes.js';
import { outcome } from '../core/outcome.js';
import type { Subscription } from '../core/subscription.js';
import type { AttemptLog, LoggedAttempt } from '../retry/attempt-log.js';
import { CircuitBreakers } from '../retry/circuit-breakers.js';
import { DEFAULT_RETRY, RetryPolicy } from '../retry/retry-policy.js';
import { Caution } from './caution.js';
import { Consumer } from './consumer.js';

const START = Date.parse('2026-01-01T00:00:00Z');
const RETRY = { ...DEFAULT_RETRY, backoff: { ...DEFAULT_RETRY.backoff, jitter: false } };
const LONG_MS = 10_000;

/** A process after an unclean stop. What a handler does with an event is said by the test. */
class World {
  readonly clock = new ManualClock(START);
  readonly activities: Activity[] = [];
  readonly letters: DeadLetter[] = [];
  readonly settled: string[] = [];
  /** `mails a` when it began, `mails a.` when it ended. */
  readonly runs: string[] = [];
  readonly begun: LoggedAttempt[] = [];
  readonly forgotten: LoggedAttempt[] = [];
  readonly lanes: HandlerLanes;
  #caution: Caution;
  /** Of events, how often they ended the process. */
  crashes: Record<string, number> = {};

  constructor(
    private readonly handle: (ids: string[]) => Promise<void>,
    private readonly overrides: Partial<Subscription> = {},
  ) {
    const { clock } = this;
    const logger = new RecordingLogger();
    const report: Report = (activity) => void this.activities.push(activity);
    const breakers = new CircuitBreakers({ clock, logger, report, optionsOf: () => RETRY });
    const log: Partial<AttemptLog> = {
      open: async () => 1,
      begin: async (attempt) => this.crashes[String(this.begun.push(attempt))] ?? 0,
      end: async () => undefined,
      forget: async (attempt) => void this.forgotten.push(attempt),
    };
    this.#caution = new Caution({
      ...{ clock, logger, report, window: 100, log: log as AttemptLog },
      crashesOf: () => RETRY.crashes,
    });
    const consumer = new Consumer({
      ...{ clock, logger, report, breakers, caution: this.#caution },
      policy: new RetryPolicy(() => RETRY, clock),
      deadline: new AbortController().signal,
      pipeline: (attempt) => this.#run(attempt),
      writeDeadLetter: async (letter) => void this.letters.push(letter),
    });
    this.lanes = new HandlerLanes({
      ...{ clock, logger },
      process: (delivery, slot) => consumer.process(delivery, slot),
      processBatch: (deliveries, slot) => consumer.processBatch(deliveries, slot),
      limitOf: (of) => breakers.of(of).limit,
    });
  }

  async open(): Promise<this> {
    await this.#caution.open('shop');
    return this;
  }

  async push(ids: readonly string[], handlers = ['mails']): Promise<void> {
    for (const handler of handlers) {
      const subscription = { ...SUBSCRIPTION, ...this.overrides, handler };
      for (const id of ids) {
        const time = new Date(START - 1).toISOString();
        const envelope = createEnvelope({ name: 'orders.order.placed', source: 'shop', id, key: id, time, data: null });
        this.lanes.push({
          ...{ subscription, content: { envelope }, redelivered: true, lost: new AbortController().signal },
          raw: { place: { transport: 'rabbitmq', address: 'orders' }, body: Buffer.from(id), headers: {} },
          acknowledge: () => this.settled.push(`${handler} ${id}`),
          release: () => this.settled.push(`${handler} ${id} released`),
        });
      }
    }
    await this.clock.advanceAsync(20);
  }

  async #run(attempt: AnyAttempt) {
    const ids = 'envelopes' in attempt ? attempt.envelopes.map(({ id }) => id) : [attempt.envelope.id];
    const run = `${attempt.subscription.handler} ${ids.join(' ')}`;
    this.runs.push(run);
    await this.handle(ids);
    this.runs.push(`${run}.`);
    return outcome.ack();
  }
}

const SUBSCRIPTION = {
  ...{ handler: 'mails', group: 'shop', aliases: [], patterns: [], idempotent: true, transportOptions: {} },
  ...{ ordering: 'key', afterDeadLetter: 'continue', concurrency: 4 },
} as const satisfies Subscription;

describe('a consumer after an unclean stop', () => {
  it('runs one event at a time, of all handlers together', async () => {
    const world = await new World(async () => undefined).open();
    await world.push(['a', 'b', 'c'], ['mails', 'views']);
    expect(world.runs).toHaveLength(12);
    for (let n = 0; n < world.runs.length; n += 2) expect(world.runs[n + 1]).toBe(`${world.runs[n]}.`);
    expect(world.settled).toHaveLength(6);
    expect(new Set(world.begun.map(({ consumer }) => consumer))).toEqual(new Set(['shop.mails', 'shop.views']));
  });

  it('lets others go on while an event waits for its next attempt', async () => {
    let failures = 2;
    const world = await new World(async ([id]) => {
      if (id === 'a' && failures-- > 0) throw new Error('not yet');
    }).open();
    await world.push(['a', 'b', 'c']);
    expect(world.settled).toEqual(['mails b', 'mails c']);
    await world.clock.advanceAsync(LONG_MS);
    expect([world.settled.at(-1), world.begun.length]).toEqual(['mails a', 5]);
  });

  it('tells in the dead letter how often the event ended the process, and goes on', async () => {
    const world = await new World(async () => undefined).open();
    world.crashes = { 1: 3 };
    await world.push(['a', 'b']);
    expect(world.letters).toMatchObject([
      { eventId: 'a', attempts: 3, error: { code: 'EVENTS_PROCESS_ENDED', message: expect.stringMatching(/3 times/) } },
    ]);
    expect(world.runs).toEqual(['mails b', 'mails b.']);
    expect(world.settled).toEqual(['mails a', 'mails b']);
    expect(world.activities).toContainEqual(expect.objectContaining({ type: 'dead-lettered', id: 'a', attempt: 3 }));
    // Durable: what was known of it is gone. And so for its neighbour.
    expect(new Set(world.forgotten)).toEqual(new Set(world.begun));
    expect(world.letters[0]?.id).toBe(world.begun[0]?.delivery);
  });

  it('runs what a batch handler gets by itself, too', async () => {
    const world = await new World(async () => undefined, { batch: { size: 10, waitMs: 5 } }).open();
    await world.push(['a', 'b', 'c']);
    expect(world.runs).toEqual(['a', 'b', 'c'].flatMap((id) => [`mails ${id}`, `mails ${id}.`]));
    expect(world.settled).toEqual(['mails a', 'mails b', 'mails c']);
  });

  it('gives back what waits for its turn when it closes', async () => {
    let finish = (): void => undefined;
    const world = await new World(() => new Promise((resolve) => (finish = resolve))).open();
    await world.push(['a', 'b', 'c', 'd', 'e']);
    expect(world.runs).toEqual(['mails a']);
    world.lanes.close();
    await world.clock.advanceAsync(0);
    finish();
    await world.lanes.idle();
    expect(world.settled.toSorted()).toEqual(['mails a', ...['b', 'c', 'd', 'e'].map((id) => `mails ${id} released`)]);
    expect(world.runs).toEqual(['mails a', 'mails a.']);
  });
});

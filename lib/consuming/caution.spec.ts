import { describe, expect, it } from '@jest/globals';
import { ManualClock, microtasks } from '../../test/support/manual-clock.js';
import { RecordingLogger } from '../../test/support/recording-logger.js';
import type { Activity } from '../core/activity.js';
import type { Delivery } from '../core/delivery.js';
import { createEnvelope } from '../core/envelope.js';
import { isEventsError } from '../core/errors.js';
import type { Slot } from '../core/lanes.js';
import { outcome, type Outcome } from '../core/outcome.js';
import type { Subscription } from '../core/subscription.js';
import type { AttemptLog, LoggedAttempt } from '../retry/attempt-log.js';
import { Caution } from './caution.js';

const START = Date.parse('2026-01-01T00:00:00Z');
const QUIET_MS = 60_000;
const subscription = { handler: 'mails', group: 'shop' } as Subscription;

interface Told {
  readonly before?: boolean;
  readonly redelivered?: boolean;
  readonly mayBeRedelivered?: boolean;
  readonly partition?: number;
}

/** A log in memory. `crashes` says how often an event has ended the process. */
class FakeLog implements AttemptLog {
  readonly calls: string[] = [];
  readonly ids = new Map<string, string>();
  crashes: Record<string, number> = {};
  isAway = false;

  constructor(private readonly unclean: number) {}

  async prepare(): Promise<void> {}
  async open(): Promise<number> {
    return this.unclean;
  }
  async begin(attempt: LoggedAttempt): Promise<number> {
    if (this.isAway) throw Object.assign(new Error('away'), { code: '57P01' });
    this.#call('begin', attempt);
    return this.crashes[this.ids.get(attempt.delivery) ?? ''] ?? 0;
  }
  async end(attempt: LoggedAttempt): Promise<void> {
    this.#call('end', attempt);
  }
  async forget(attempt: LoggedAttempt): Promise<void> {
    this.#call('forget', attempt);
  }
  async lookedAfter(): Promise<void> {
    this.calls.push('looked after');
  }
  async close(): Promise<void> {
    this.calls.push('close');
  }
  release(): void {}

  #call(what: string, { delivery }: LoggedAttempt): void {
    if (!this.ids.has(delivery)) this.ids.set(delivery, `event ${this.ids.size + 1}`);
    this.calls.push(`${what} ${this.ids.get(delivery)}`);
  }
}

class World {
  readonly clock = new ManualClock(START);
  readonly logger = new RecordingLogger();
  readonly activities: Activity[] = [];
  readonly log: FakeLog;
  readonly caution: Caution;
  readonly closing = new AbortController();
  readonly running = new Map<string, (decided: Outcome) => void>();
  most = 0;
  #number = 0;

  constructor({ unclean = 1, window = 1_000 } = {}) {
    this.log = new FakeLog(unclean);
    this.caution = new Caution({
      ...{ log: this.log, clock: this.clock, logger: this.logger, window },
      report: (activity) => this.activities.push(activity),
      crashesOf: () => 3,
    });
  }

  async open(): Promise<this> {
    await this.caution.open('shop');
    this.caution.started();
    return this;
  }

  delivery({ before = true, redelivered = true, mayBeRedelivered, partition = 0 }: Told = {}): Delivery {
    const time = new Date(START + (before ? -1 : 1)).toISOString();
    const id = `event ${++this.#number}`;
    const envelope = createEnvelope({ name: 'orders.order.placed', source: 'shop', id, time, data: id });
    return {
      ...{ subscription, redelivered, lost: new AbortController().signal, content: { envelope } },
      ...(mayBeRedelivered === undefined ? {} : { mayBeRedelivered }),
      raw: { place: { transport: 'kafka', address: 'orders', partition }, body: Buffer.from(id), headers: {} },
      acknowledge: () => undefined,
      release: () => undefined,
    };
  }

  /** Begins an attempt that runs until `finish`. */
  async begin(delivery: Delivery, slot: Partial<Slot> = {}): Promise<{ ended: Promise<Outcome | undefined> }> {
    const { envelope } = delivery.content as { envelope: { id: string } };
    const ended = this.caution.attempt(delivery, { closing: this.closing.signal, ...slot } as Slot, () => {
      this.most = Math.max(this.most, this.running.size + 1);
      return new Promise((resolve) => this.running.set(envelope.id, resolve));
    });
    await microtasks();
    return { ended };
  }

  async finish(id: string, decided: Outcome = outcome.ack()): Promise<void> {
    this.running.get(id)?.(decided);
    this.running.delete(id);
    await microtasks();
  }
}

describe('after a clean stop', () => {
  it('nothing is written down and nothing waits', async () => {
    const world = await new World({ unclean: 0 }).open();
    await world.begin(world.delivery());
    await world.begin(world.delivery());
    expect([...world.running.keys()]).toEqual(['event 1', 'event 2']);
    expect([world.log.calls, world.activities, world.clock.pending]).toEqual([[], [], 0]);
  });
});

describe('after an unclean stop', () => {
  it('what may have been in flight runs one at a time, each attempt written down', async () => {
    const world = await new World({ unclean: 2 }).open();
    expect(world.activities).toEqual([{ type: 'unclean-stop', processes: 2 }]);
    for (let n = 0; n < 3; n++) await world.begin(world.delivery());
    expect([...world.running.keys()]).toEqual(['event 1']);
    await world.finish('event 1');
    expect([...world.running.keys()]).toEqual(['event 2']);
    await world.finish('event 2', outcome.retry(new Error('again'), { afterMs: 10 }));
    await world.finish('event 3');
    expect(world.log.calls).toEqual([
      ...['begin event 1', 'forget event 1', 'begin event 2', 'end event 2', 'begin event 3', 'forget event 3'],
    ]);
    expect(world.most).toBe(1);
  });

  it.each<[string, Told, boolean]>([
    ['was published later', { before: false }, false],
    ['the broker says is new', { redelivered: false }, false],
    ['the broker cannot tell about', { redelivered: false, mayBeRedelivered: true }, true],
  ])('what %s: careful %#', async (_, told, careful) => {
    const world = await new World().open();
    await world.begin(world.delivery(told));
    expect([world.running.size, world.log.calls.length > 0]).toEqual([1, careful]);
  });

  it('does not trust the clocks of publishers when processes end again and again', async () => {
    const world = await new World({ unclean: 5 }).open();
    await world.begin(world.delivery({ before: false }));
    expect(world.log.calls).toEqual(['begin event 1']);
  });

  it('is careful with one window of each partition', async () => {
    const world = await new World({ window: 2 }).open();
    const deliveries = [0, 0, 0, 1].map((partition) => world.delivery({ partition }));
    expect(deliveries.map((delivery) => world.caution.isSuspect(delivery))).toEqual([true, true, false, true]);
    // Once said, it stays.
    expect(deliveries.map((delivery) => world.caution.isSuspect(delivery))).toEqual([true, true, false, true]);
  });

  it('an event that ended the process often enough is a dead letter, unrun, and forgotten when that is durable', async () => {
    const world = await new World().open();
    world.log.crashes = { 'event 1': 3, 'event 2': 2 };
    const culprit = world.delivery();
    const decided = await (await world.begin(culprit)).ended;
    expect(world.running.size).toBe(0);
    expect(decided).toMatchObject({ kind: 'deadLetter', attempts: 3 });
    const { error } = decided as { error: unknown };
    expect(isEventsError(error, 'EVENTS_PROCESS_ENDED')).toBe(true);
    expect(error).toMatchObject({
      event: 'orders.order.placed',
      handler: 'mails',
      remedy: expect.stringMatching(/redrive/),
    });
    expect(world.log.calls).toEqual(['begin event 1']);
    await world.caution.buried(culprit);
    expect(world.log.calls).toEqual(['begin event 1', 'forget event 1']);
    await world.begin(world.delivery());
    expect([...world.running.keys()]).toEqual(['event 2']);
  });

  it('is forgotten even when the dead letter could be written only after caution was over', async () => {
    const world = await new World().open();
    world.log.crashes = { 'event 1': 3 };
    const culprit = world.delivery();
    await world.begin(culprit);
    await world.clock.advanceAsync(QUIET_MS);
    await world.caution.buried(culprit);
    expect(world.log.calls).toEqual(['begin event 1', 'looked after', 'forget event 1']);
  });

  it('without the log nothing runs: it waits as for a dependency, longer each time', async () => {
    const world = await new World().open();
    world.log.isAway = true;
    const delivery = world.delivery();
    const waits: unknown[] = [];
    for (let n = 0; n < 3; n++) waits.push(await (await world.begin(delivery)).ended);
    expect(waits).toMatchObject(
      [100, 200, 400].map((afterMs) => ({ kind: 'retry', dependency: true, counts: false, afterMs })),
    );
    world.log.isAway = false;
    await world.begin(delivery);
    expect(world.running.size).toBe(1);
  });

  it('what closes or is lost while it waits for its turn does not run, and holds nobody up', async () => {
    const world = await new World().open();
    await world.begin(world.delivery());
    const lost = new AbortController();
    const second = await world.begin({ ...world.delivery(), lost: lost.signal });
    await world.begin(world.delivery());
    lost.abort();
    expect(await second.ended).toBeUndefined();
    await world.finish('event 1');
    expect([...world.running.keys()]).toEqual(['event 3']);
    const closing = await world.begin(world.delivery());
    world.closing.abort();
    expect(await closing.ended).toBeUndefined();
  });

  it('a handler that never ends holds the others up for a while only', async () => {
    const world = await new World().open();
    await world.begin(world.delivery());
    await world.begin(world.delivery());
    await world.begin(world.delivery());
    await world.clock.advanceAsync(9_999);
    expect(world.running.size).toBe(1);
    await world.clock.advanceAsync(1);
    expect([...world.running.keys()]).toEqual(['event 1', 'event 2']);
    // The end of a turn that was taken away gives nobody another one.
    await world.finish('event 1');
    expect([...world.running.keys()]).toEqual(['event 2']);
  });

  it('is over when nothing suspicious came for a while', async () => {
    const world = await new World().open();
    await world.clock.advanceAsync(QUIET_MS - 1);
    await world.begin(world.delivery());
    await world.clock.advanceAsync(9_000);
    await world.finish('event 1');
    await world.clock.advanceAsync(QUIET_MS - 1);
    expect(world.log.calls).not.toContain('looked after');
    await world.clock.advanceAsync(1);
    expect(world.log.calls.at(-1)).toBe('looked after');
    expect(world.logger.messages('log')).toEqual([expect.stringMatching(/through: 1 event/)]);
    await world.begin(world.delivery());
    await world.begin(world.delivery());
    expect([world.running.size, world.clock.pending]).toEqual([2, 0]);
  });

  it('that it is over is not said of what waits for its next attempt', async () => {
    const world = await new World().open();
    const delivery = world.delivery();
    await world.begin(delivery);
    await world.finish('event 1', outcome.retry(new Error('again'), { afterMs: 2 * QUIET_MS }));
    await world.clock.advanceAsync(2 * QUIET_MS);
    expect(world.log.calls.at(-1)).toBe('looked after');
    await world.begin(delivery);
    await world.finish('event 1');
    expect(world.log.calls.slice(-2)).toEqual(['begin event 1', 'forget event 1']);
    await world.clock.advanceAsync(2 * QUIET_MS);
    expect(world.logger.messages('log')).toHaveLength(1);
  });

  it('a clean stop in between leaves no timer, and the rest to the next process', async () => {
    const world = await new World().open();
    await world.caution.close();
    expect([world.log.calls, world.clock.pending]).toEqual([['close'], 0]);
  });
});

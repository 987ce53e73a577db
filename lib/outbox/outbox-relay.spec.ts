import { describe, expect, test } from '@jest/globals';
import { ManualClock } from '../../test/support/manual-clock.js';
import { RecordingLogger } from '../../test/support/recording-logger.js';
import type { Activity } from '../core/activity.js';
import { createEnvelope } from '../core/envelope.js';
import { OutboxRelay, type OutboxRelayTools } from './outbox-relay.js';
import type { OutboxEntry, OutboxStore, RelayResult } from './outbox-store.js';

const IDLE: RelayResult = { published: 0, failed: 0, more: false };
const ENTRY: OutboxEntry = {
  envelope: createEnvelope({ name: 'orders.order.placed', source: 'shop', data: 1 }),
  transport: 'kafka',
};

function setUp(batch: (publish: (entry: OutboxEntry) => Promise<void>) => Promise<RelayResult>) {
  const clock = new ManualClock();
  const logger = new RecordingLogger();
  const activities: Activity[] = [];
  let batches = 0;
  let running = 0;
  const store = {
    relay: async (_limit: number, publish: (entry: OutboxEntry) => Promise<void>) => {
      batches++;
      expect(++running).toBe(1);
      try {
        return await batch(publish);
      } finally {
        running--;
      }
    },
    onCommitted: () => undefined,
  } as Partial<OutboxStore> as OutboxStore;
  const tools: OutboxRelayTools = {
    store,
    publish: () => Promise.resolve(),
    clock,
    logger,
    report: (activity) => void activities.push(activity),
  };
  return {
    relay: (overrides = {}) => new OutboxRelay({ ...tools, ...overrides }),
    clock,
    logger,
    activities,
    batches: () => batches,
  };
}

describe('the relay', () => {
  test('looks again every pollMs, and at once after a hint', async () => {
    const { relay, clock, batches } = setUp(async () => IDLE);
    const running = relay();
    running.start();
    await clock.advanceAsync(0);
    expect(batches()).toBe(1);
    await clock.advanceAsync(499);
    expect(batches()).toBe(1);
    await clock.advanceAsync(1);
    expect(batches()).toBe(2);
    running.hint();
    await clock.advanceAsync(0);
    expect(batches()).toBe(3);
    await running.stop();
    expect(clock.pending).toBe(0);
  });

  test('goes on at once while there is more, and a hint during a batch is not lost', async () => {
    let left = 3;
    const world = setUp(async () => {
      if (left === 1) running.hint();
      return { ...IDLE, more: --left > 0 };
    });
    const running = world.relay();
    running.start();
    await world.clock.advanceAsync(0);
    expect(world.batches()).toBe(4);
    await running.stop();
  });

  test('stop() waits for the batch under way and starts no other', async () => {
    let finish = (): void => undefined;
    const world = setUp(() => new Promise((resolve) => (finish = () => resolve({ ...IDLE, more: true }))));
    const running = world.relay();
    running.start();
    await world.clock.advanceAsync(0);
    let stopped = false;
    const stopping = running.stop().then(() => (stopped = true));
    await world.clock.advanceAsync(0);
    expect(stopped).toBe(false);
    finish();
    await stopping;
    expect(world.batches()).toBe(1);
  });

  test('a database that is away is tried with growing pauses, which hints do not shorten', async () => {
    let away = true;
    const world = setUp(async () => {
      if (away) throw new Error('connection refused');
      return IDLE;
    });
    const running = world.relay();
    running.start();
    await world.clock.advanceAsync(499);
    running.hint();
    expect(world.batches()).toBe(1);
    await world.clock.advanceAsync(1);
    expect(world.batches()).toBe(2);
    await world.clock.advanceAsync(999);
    expect(world.batches()).toBe(2);
    away = false;
    await world.clock.advanceAsync(1);
    expect(world.batches()).toBe(3);
    expect(world.activities).toMatchObject([{ type: 'relay-failed' }, { type: 'relay-failed' }]);
    expect(world.logger.messages('error')).toHaveLength(2);
    await running.stop();
  });

  test('an event that is not published is reported, and the store knows', async () => {
    const failure = new Error('broker away');
    let seen: unknown;
    const world = setUp(async (publish) => {
      await publish(ENTRY).catch((error: unknown) => (seen = error));
      return { published: 0, failed: 1, more: false };
    });
    const running = world.relay({ publish: () => Promise.reject(failure) });
    running.start();
    await world.clock.advanceAsync(0);
    await running.stop();
    expect(seen).toBe(failure);
    expect(world.activities).toEqual([{ type: 'relay-failed', event: 'orders.order.placed', error: failure }]);
    expect(world.logger.messages('warn')[0]).toContain('broker away');
  });

  test('stopped before it started, it never starts', async () => {
    const world = setUp(async () => IDLE);
    const running = world.relay();
    await running.stop();
    running.start();
    await world.clock.advanceAsync(1_000);
    expect(world.batches()).toBe(0);
  });
});

import { describe, expect, test } from '@jest/globals';
import { ManualClock } from '../../test/support/manual-clock.js';
import { RecordingLogger } from '../../test/support/recording-logger.js';
import type { Activity } from '../core/activity.js';
import { createEnvelope } from '../core/envelope.js';
import { OutboxRelay, type OutboxRelayTools } from './outbox-relay.js';
import type {
  OutboxEntry,
  OutboxStore,
  Relayed,
  RelayRequest,
  RelayResult,
  RelaySettings,
  TakenEntry,
} from './outbox-store.js';

const IDLE: RelayResult = { taken: 0, more: false, nextDueInMs: undefined };
const MORE: RelayResult = { taken: 1, more: true, nextDueInMs: undefined };
const away = new Error('connection refused');

const taken = (id: string, rest: Partial<TakenEntry> = {}): TakenEntry => ({
  read: () => createEnvelope({ name: 'orders.order.placed', source: 'shop', data: 1, id }),
  line: undefined,
  failures: 0,
  ...rest,
});

/** `batch` is what the store does for a relay. */
function setUp(
  batch: (request: RelayRequest) => Promise<RelayResult>,
  overrides: Partial<Omit<OutboxRelayTools, 'store'>> & { settings?: RelaySettings; store?: Partial<OutboxStore> } = {},
) {
  const { settings, store: parts, ...tools } = overrides;
  const clock = new ManualClock(1_000_000);
  const logger = new RecordingLogger();
  const activities: Activity[] = [];
  const requests: RelayRequest[] = [];
  let hint: Parameters<OutboxStore['watch']>[0] = () => undefined;
  const store: Partial<OutboxStore> = {
    relay: (request) => {
      requests.push(request);
      return batch(request);
    },
    watch: (watcher) => {
      hint = watcher;
      return async () => void (hint = () => undefined);
    },
    transports: () => Promise.resolve([]),
    ...parts,
  };
  const relay = new OutboxRelay(
    {
      store: store as OutboxStore,
      transports: ['kafka'],
      publish: () => Promise.resolve(),
      isAway: (error) => error === away,
      publishTimeoutMs: 30_000,
      clock,
      logger,
      report: (activity) => void activities.push(activity),
      ...tools,
    },
    settings,
  );
  const start = async (): Promise<void> => {
    relay.start();
    await clock.advanceAsync(0);
  };
  const stop = (): Promise<void> => relay.stop(1_000);
  return { relay, start, stop, clock, logger, activities, requests, hint: (names?: string[]) => hint(names) };
}

/** A store with these entries, which keeps what became of them. */
function holding(entries: TakenEntry[]) {
  const results: (readonly Relayed[])[] = [];
  const batch = async ({ publish, limit }: RelayRequest): Promise<RelayResult> => {
    const relayed = await publish(entries.slice(0, limit));
    results.push(relayed);
    return limit < entries.length ? MORE : IDLE;
  };
  return { batch, results };
}

describe('the relay', () => {
  test('looks again every pollMs, and at once after a hint', async () => {
    const { start, stop, clock, requests, hint } = setUp(async () => IDLE);
    await start();
    expect(requests).toHaveLength(1);
    await clock.advanceAsync(499);
    expect(requests).toHaveLength(1);
    await clock.advanceAsync(1);
    expect(requests).toHaveLength(2);
    hint(['kafka']);
    await clock.advanceAsync(0);
    expect(requests).toHaveLength(3);
    hint(['rabbitmq']);
    await clock.advanceAsync(0);
    expect(requests).toHaveLength(3);
    hint();
    await clock.advanceAsync(0);
    expect(requests).toHaveLength(4);
    await stop();
    expect(clock.pending).toBe(0);
  });

  test('wakes for the next delayed event when that is sooner', async () => {
    const { start, stop, clock, requests } = setUp(async () => ({ ...IDLE, nextDueInMs: 20 }));
    await start();
    await clock.advanceAsync(19);
    expect(requests).toHaveLength(1);
    await clock.advanceAsync(1);
    expect(requests).toHaveLength(2);
    await stop();
  });

  test('goes on at once while there is more, and a hint during a batch is not lost', async () => {
    let left = 3;
    const world = setUp(async () => {
      if (left === 1) world.hint();
      return --left > 0 ? MORE : IDLE;
    });
    await world.start();
    expect(world.requests).toHaveLength(4);
    await world.stop();
  });

  test('a second batch is taken while a large one is with the broker, a third is not', async () => {
    const { start, stop, requests } = setUp(
      async ({ publish, limit }) => {
        await publish(Array.from({ length: limit }, (_, n) => taken(String(n))));
        return MORE;
      },
      { publish: () => new Promise(() => undefined), settings: { batchSize: 4 } },
    );
    await start();
    expect(requests).toHaveLength(2);
    void stop();
  });

  test('each transport has batches of its own, with the lease that publishing needs', async () => {
    const { start, stop, requests } = setUp(async () => IDLE, { transports: ['kafka', 'rabbitmq'] });
    await start();
    expect(requests).toMatchObject([
      { transport: 'kafka', limit: 1_000, leaseMs: 60_000 },
      { transport: 'rabbitmq', limit: 1_000, leaseMs: 60_000 },
    ]);
    await stop();
  });

  test('a database that is away is tried with growing pauses, which hints do not shorten', async () => {
    let isAway = true;
    const { start, stop, clock, requests, activities, logger, hint } = setUp(async () => {
      if (isAway) throw away;
      return IDLE;
    });
    await start();
    await clock.advanceAsync(499);
    hint();
    await clock.advanceAsync(0);
    expect(requests).toHaveLength(1);
    await clock.advanceAsync(1);
    expect(requests).toHaveLength(2);
    await clock.advanceAsync(999);
    expect(requests).toHaveLength(2);
    isAway = false;
    await clock.advanceAsync(1);
    expect(requests).toHaveLength(3);
    expect(activities).toMatchObject([{ type: 'relay-failed' }, { type: 'relay-failed' }]);
    expect(logger.messages('error')).toHaveLength(2);
    await stop();
  });

  test('stopped before it started, it never starts', async () => {
    const { relay, start, clock, requests } = setUp(async () => IDLE);
    await relay.stop(0);
    await start();
    await clock.advanceAsync(1_000);
    expect(requests).toHaveLength(0);
  });

  test('events for a transport that it does not have are left alone, and warned about once', async () => {
    const store = { transports: () => Promise.resolve(['kafka', 'elsewhere']) };
    const { start, stop, clock, logger, requests } = setUp(async () => IDLE, { store });
    await start();
    await clock.advanceAsync(180_000);
    expect(logger.messages('warn')).toEqual([expect.stringContaining('"elsewhere"')]);
    expect(new Set(requests.map(({ transport }) => transport))).toEqual(new Set(['kafka']));
    await stop();
  });

  test('what was kept for long enough is removed once an hour', async () => {
    let cleanings = 0;
    const { start, stop, clock } = setUp(async () => IDLE, { store: { clean: async () => void cleanings++ } });
    await start();
    expect(cleanings).toBe(1);
    for (let minutes = 0; minutes < 60; minutes++) await clock.advanceAsync(60_000);
    expect(cleanings).toBe(2);
    await stop();
  });
});

describe('an event that is refused', () => {
  const refused = new Error('refused by amqp://user:secret@host \u0000');
  const publish = (): Promise<never> => Promise.reject(refused);

  test('waits twice as long after each failure, up to a minute, with its error', async () => {
    const entries = Array.from({ length: 12 }, (_, failures) => taken('1', { failures }));
    const { batch, results } = holding(entries);
    const { start, stop, clock, activities, logger } = setUp((request) => batch(request).then(() => IDLE), {
      publish,
      settings: { parkAfter: 100 },
    });
    await start();
    await stop();
    expect(results[0]?.map((result) => (result.type === 'failed' ? result.retryAfterMs : result))).toEqual(
      Array.from({ length: 12 }, (_, n) => Math.min(100 * 2 ** n, 60_000)),
    );
    expect(results[0]?.[0]).toMatchObject({ error: 'refused by amqp://user:***@host \\u0000' });
    expect(activities).toHaveLength(12);
    expect(activities[0]).toEqual({
      ...{ type: 'relay-failed', transport: 'kafka', event: 'orders.order.placed', error: refused },
    });
    expect(logger.messages('warn')).toHaveLength(1);
    expect(clock.pending).toBe(0);
  });

  test('is parked after parkAfter attempts, with an alarm', async () => {
    const { batch, results } = holding([taken('a', { failures: 8 }), taken('b', { failures: 9 })]);
    const { start, stop, activities, logger } = setUp((request) => batch(request).then(() => IDLE), { publish });
    await start();
    await stop();
    expect(results[0]?.map(({ type }) => type)).toEqual(['failed', 'parked']);
    expect(activities.filter(({ type }) => type === 'relay-parked')).toEqual([
      { type: 'relay-parked', transport: 'kafka', event: 'orders.order.placed', id: 'b', error: refused },
    ]);
    expect(logger.messages('error')).toEqual([expect.stringMatching(/"orders.order.placed" \(b\).*parked after 10/)]);
  });

  test('is not told of as long as nothing is written down', async () => {
    const { start, stop, activities } = setUp(
      async (request) => {
        await request.publish([taken('b', { failures: 9 })]);
        throw away;
      },
      { publish },
    );
    await start();
    await stop();
    expect(activities).toEqual([{ type: 'relay-failed', transport: 'kafka', error: away }]);
  });
});

describe('a transport that is away', () => {
  test('pauses its events without counting, longer each time; one event finds out whether it is back', async () => {
    let isAway = true;
    const { batch, results } = holding([taken('1'), taken('2'), taken('3', { failures: 9 })]);
    const { start, stop, clock, requests, logger, hint } = setUp(batch, {
      publish: () => (isAway ? Promise.reject(away) : Promise.resolve()),
    });
    await start();
    expect(results.flat().map(({ type }) => type)).toEqual(['left', 'left', 'left']);
    hint();
    for (const pauseMs of [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
      const before = requests.length;
      await clock.advanceAsync(pauseMs - 1);
      expect(requests).toHaveLength(before);
      await clock.advanceAsync(1);
      expect(requests).toHaveLength(before + 1);
      expect(requests.at(-1)?.limit).toBe(1);
    }
    expect(results.flat().every(({ type }) => type === 'left')).toBe(true);
    expect(logger.messages('error')).toEqual([]);
    isAway = false;
    await clock.advanceAsync(30_000);
    expect(requests.slice(-2).map(({ limit }) => limit)).toEqual([1, 1_000]);
    expect(logger.messages('log')).toEqual([expect.stringContaining('kafka takes events of the outbox again')]);
    await stop();
  });

  test('does not hold up another transport', async () => {
    const { start, stop, clock, requests } = setUp(
      async ({ transport, publish }) => {
        if (transport === 'kafka') await publish([taken('1')]);
        return IDLE;
      },
      { transports: ['kafka', 'rabbitmq'], publish: () => Promise.reject(away) },
    );
    await start();
    for (let polls = 0; polls < 8; polls++) await clock.advanceAsync(500);
    expect(requests.filter(({ transport }) => transport === 'rabbitmq')).toHaveLength(9);
    expect(requests.filter(({ transport }) => transport === 'kafka')).toHaveLength(4);
    await stop();
  });

  test('is not blamed for one event when it takes others meanwhile', async () => {
    const { clock, start, stop, ...world } = setUp(
      async ({ publish }) => {
        results.push(...(await publish([taken('stuck'), taken('fine', { line: 'a' }), taken('late', { line: 'a' })])));
        return IDLE;
      },
      {
        publish: async ({ envelope }: OutboxEntry) => {
          await new Promise<void>((resolve) => clock.after(envelope.id === 'stuck' ? 100 : 40, resolve));
          if (envelope.id === 'stuck') throw away;
        },
      },
    );
    const results: Relayed[] = [];
    await start();
    await clock.advanceAsync(100);
    expect(results.map(({ type }) => type)).toEqual(['failed', 'published', 'published']);
    expect(world.activities).toHaveLength(1);
    await stop();
  });
});

describe('stopping', () => {
  test('waits for what is under way and begins nothing more', async () => {
    let confirm = (): void => undefined;
    const published: string[] = [];
    const { batch, results } = holding([taken('1', { line: 'a' }), taken('2', { line: 'a' })]);
    const { relay, start, requests } = setUp(batch, {
      publish: ({ envelope }) => {
        published.push(envelope.id);
        return new Promise((resolve) => (confirm = resolve));
      },
    });
    await start();
    let stopped = false;
    const stopping = relay.stop(1_000).then(() => (stopped = true));
    await new Promise(setImmediate);
    expect(stopped).toBe(false);
    confirm();
    await stopping;
    expect(published).toEqual(['1']);
    expect(results[0]?.map(({ type }) => type)).toEqual(['published', 'left']);
    expect(requests).toHaveLength(1);
  });

  test('gives up at the deadline what a transport neither confirms nor refuses', async () => {
    const { batch, results } = holding([taken('1'), taken('2')]);
    const { relay, start, clock } = setUp(batch, {
      publish: ({ envelope }) => (envelope.id === '1' ? Promise.resolve() : new Promise(() => undefined)),
    });
    await start();
    const stopping = relay.stop(1_000);
    await clock.advanceAsync(999);
    expect(results).toEqual([]);
    await clock.advanceAsync(1);
    await stopping;
    expect(results[0]?.map(({ type }) => type)).toEqual(['published', 'left']);
    expect(clock.pending).toBe(0);
  });

  test('does not wait for ever for a database that does not answer', async () => {
    const { relay, start, clock } = setUp(() => new Promise(() => undefined));
    await start();
    let stopped = false;
    void relay.stop(1_000).then(() => (stopped = true));
    for (let seconds = 0; seconds < 3; seconds++) await clock.advanceAsync(1_000);
    expect(stopped).toBe(true);
  });
});

import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { withBroker } from '../support/brokers.js';
import { eventually } from '../support/eventually.js';
import { entry, failed, OutboxWorld, PUBLISHED } from '../support/outbox-world.js';

withBroker('postgres', 'DATABASE_URL', (url) => {
  let outbox: OutboxWorld;

  beforeEach(async () => {
    outbox = await OutboxWorld.open(url);
  });
  afterEach(() => outbox.close());

  const later = (): Date => new Date(Date.now() + 3_600_000);

  test('a delayed event is not published early, and does not hold up its key', async () => {
    const asked = performance.now();
    await outbox.enrol(entry('delayed', 'a', { delayMs: 300 }), entry('at once', 'a'));
    const { seen, nextDueInMs } = await outbox.relay();
    expect(seen).toEqual(['at once']);
    expect(nextDueInMs).toBeLessThanOrEqual(300);
    await eventually(async () => (await outbox.relay()).seen.includes('delayed'));
    expect(performance.now() - asked).toBeGreaterThan(299);
  });

  test('a point in time is waited for, in the past or far ahead', async () => {
    await outbox.enrol(
      entry('past', 'a', { notBefore: new Date(0) }),
      entry('future', 'a', { notBefore: later() }),
      entry('for ever', 'a', { notBefore: new Date(8.64e15) }),
    );
    const { seen, nextDueInMs } = await outbox.relay();
    expect(seen).toEqual(['past']);
    expect((await outbox.relay()).nextDueInMs).toBeGreaterThan(3_500_000);
    expect(nextDueInMs).toBeLessThanOrEqual(3_600_000);
    await outbox.timePasses();
    expect((await outbox.relay()).seen.toSorted()).toEqual(['for ever', 'future']);
  });

  test('one that fails comes again by itself; its key goes on, and it does not wait for its key', async () => {
    await outbox.enrol(entry('delayed', 'a', { notBefore: new Date(0) }), entry('a1', 'a'), entry('a2', 'a'));
    const first = await outbox.relay((data) => (data === 'delayed' ? failed(60_000) : PUBLISHED));
    expect(first.seen).toEqual(['delayed', 'a1', 'a2']);
    await outbox.enrol(entry('a3', 'a'), entry('a4', 'a'));
    await outbox.relay((data) => (data === 'a3' ? failed(60_000) : PUBLISHED));
    expect(await outbox.states()).toEqual({ delayed: 'retrying', a3: 'retrying', a4: 'held' });
    await outbox.typeorm.rows(`UPDATE ${outbox.table} SET not_before = now() WHERE envelope->>'data' = 'delayed'`);
    expect((await outbox.relay()).seen).toEqual(['delayed']);
  });

  test('keeps its key on the way, so that it reaches the same partition', async () => {
    await outbox.enrol(entry('delayed', 'a', { notBefore: new Date(0) }));
    const { seen } = await outbox.relay((_, taken) => {
      expect(taken.read().key).toBe('a');
      expect(taken.line).toBeUndefined();
      return PUBLISHED;
    });
    expect(seen).toEqual(['delayed']);
  });
});

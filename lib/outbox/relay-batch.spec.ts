import { describe, expect, test } from '@jest/globals';
import { ManualClock } from '../../test/support/manual-clock.js';
import { createEnvelope, type Envelope } from '../core/envelope.js';
import type { Relayed, TakenEntry } from './outbox-store.js';
import { publishBatch, type RelayBatchTools } from './relay-batch.js';

const entry = (data: string, line?: string): TakenEntry => ({
  read: () => createEnvelope({ name: 'orders.order.placed', source: 'shop', data }),
  line,
  failures: 0,
});

function setUp(publish: (data: string) => Promise<void>) {
  const clock = new ManualClock();
  const abandon = new AbortController();
  const seen: string[] = [];
  const hung: number[] = [];
  const failed: Relayed = { type: 'failed', error: 'refused', retryAfterMs: 100 };
  const tools: RelayBatchTools = {
    clock,
    publish: ({ data }: Envelope) => {
      seen.push(data as string);
      return publish(data as string);
    },
    enough: () => false,
    abandon: abandon.signal,
    beginWithinMs: 1_000,
    giveUpAfterMs: 5_000,
    confirmed: () => undefined,
    failed: () => failed,
    hung: (count) => hung.push(count),
  };
  const types = async (results: Promise<Relayed[]>): Promise<string[]> => (await results).map(({ type }) => type);
  return {
    run: (entries: TakenEntry[], overrides: Partial<RelayBatchTools> = {}) =>
      types(publishBatch(entries, { ...tools, ...overrides })),
    ...{ clock, abandon, seen, hung },
  };
}

describe('a batch of the relay', () => {
  test('publishes a line one after another, and lines side by side', async () => {
    const open = new Map<string, () => void>();
    const { run, seen } = setUp((data) => new Promise((resolve) => open.set(data, resolve)));
    const results = run([entry('a1', 'a'), entry('a2', 'a'), entry('b1', 'b'), entry('x'), entry('y')]);
    await Promise.resolve();
    expect(seen).toEqual(['a1', 'b1', 'x', 'y']);
    open.get('a1')?.();
    await new Promise(setImmediate);
    expect(seen).toEqual(['a1', 'b1', 'x', 'y', 'a2']);
    for (const resolve of open.values()) resolve();
    expect(await results).toEqual(Array(5).fill('published'));
  });

  test('leaves what is behind one that failed; other lines go on', async () => {
    const { run } = setUp((data) => (data === 'a1' ? Promise.reject(new Error()) : Promise.resolve()));
    const results = run([entry('a1', 'a'), entry('a2', 'a'), entry('b1', 'b'), entry('x')]);
    expect(await results).toEqual(['failed', 'left', 'published', 'published']);
  });

  test('an entry that is no envelope fails like one that is refused', async () => {
    const { run, seen } = setUp(() => Promise.resolve());
    const broken: TakenEntry = {
      ...entry('', 'a'),
      read: () => {
        throw new Error('no envelope');
      },
    };
    expect(await run([broken, entry('a2', 'a'), entry('b1', 'b')])).toEqual(['failed', 'left', 'published']);
    expect(seen).toEqual(['b1']);
  });

  test('begins nothing more once it is enough, or the time to begin is over', async () => {
    let enough = false;
    const { run, seen, clock } = setUp((data) => {
      if (data === 'a1') enough = true;
      if (data === 'b1') clock.advance(1_000);
      return Promise.resolve();
    });
    expect(await run([entry('a1', 'a'), entry('a2', 'a')], { enough: () => enough })).toEqual(['published', 'left']);
    expect(await run([entry('b1', 'b'), entry('b2', 'b')])).toEqual(['published', 'left']);
    expect(seen).toEqual(['a1', 'b1']);
  });

  test('does not wait for what hangs once it is abandoned; late confirmations change nothing', async () => {
    let confirm = (): void => undefined;
    const world = setUp((data) =>
      data === 'quick' ? Promise.resolve() : new Promise((resolve) => (confirm = resolve)),
    );
    const results = world.run([entry('quick'), entry('slow', 'a'), entry('behind', 'a')]);
    await new Promise(setImmediate);
    world.abandon.abort();
    expect(await results).toEqual(['published', 'left', 'left']);
    confirm();
    await new Promise(setImmediate);
    expect(await results).toEqual(['published', 'left', 'left']);
    expect(world.seen).toEqual(['quick', 'slow']);
    expect([world.hung, world.clock.pending]).toEqual([[], 0]);
  });

  test('gives up what is neither confirmed nor refused, and says so', async () => {
    const world = setUp((data) => (data === 'quick' ? Promise.resolve() : new Promise(() => undefined)));
    const results = world.run([entry('quick'), entry('slow'), entry('slower')]);
    await world.clock.advanceAsync(5_000);
    expect(await results).toEqual(['published', 'left', 'left']);
    expect(world.hung).toEqual([2]);
  });
});

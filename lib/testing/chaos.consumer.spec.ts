import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Clock } from '../core/clock.js';
import { envelopeOf, laneKeyOf, type Delivery } from '../core/delivery.js';
import { UNLIMITED } from '../core/limit.js';
import type { Slot } from '../core/lanes.js';
import type { Subscription } from '../core/subscription.js';
import type { ConsumeRequest } from '../core/transport.js';
import { ChaosConsumer } from './chaos.consumer.js';
import { ChaosDice, type InjectedFault } from './chaos.dice.js';
import { resolveChaosOptions, type ChaosFault, type ChaosOptions } from './chaos.options.js';

const KEYS = 3;
const AT_ONCE: Clock = {
  now: () => 0,
  after: (_, callback) => {
    queueMicrotask(callback);
    return () => undefined;
  },
};
const SUBSCRIPTION: Subscription = {
  ...{ handler: 'mails', aliases: [], group: 'shop', patterns: ['a.b.c'], concurrency: 1, ordering: 'key' },
  ...{ idempotent: false, afterDeadLetter: 'continue', transportOptions: {} },
};

/** What a transport would hand over, counting how it is settled. */
class Handed implements Delivery {
  readonly subscription = SUBSCRIPTION;
  readonly redelivered = false;
  readonly lost = new AbortController().signal;
  readonly settled: string[] = [];
  readonly content: Delivery['content'];
  readonly raw: Delivery['raw'];

  constructor(readonly n: number) {
    const key = `key-${n % KEYS}`;
    const envelope = { id: `event-${n}`, name: 'a.b.c', source: 's', time: '', data: n, key, headers: {} };
    this.content = { envelope };
    this.raw = { place: { transport: 'memory', address: 'a.b.c' }, body: null, headers: {} };
  }

  acknowledge(): void {
    this.settled.push('acknowledged');
  }

  release(): void {
    this.settled.push('released');
  }
}

const handed = (count: number): Handed[] => Array.from({ length: count }, (_, n) => new Handed(n));
const slotThat = (goesOn: boolean): Slot => ({ park: async () => goesOn, closing: new AbortController().signal });
const OPEN = slotThat(true);

class World {
  readonly faults: InjectedFault[] = [];
  readonly runs: { readonly n: number; readonly redelivered: boolean }[] = [];
  readonly consumer: ChaosConsumer;

  constructor(options: ChaosOptions, handling: Partial<Pick<ConsumeRequest, 'process' | 'processBatch'>> = {}) {
    const request: ConsumeRequest = {
      ...{ group: 'shop', subscriptions: [SUBSCRIPTION], limitOf: () => UNLIMITED, unhandled: () => undefined },
      process: async (delivery) => this.handle(delivery),
      processBatch: async (deliveries) => {
        for (const delivery of deliveries) this.handle(delivery);
        return [];
      },
      ...handling,
    };
    const dice = new ChaosDice(resolveChaosOptions(options));
    const injected = (fault: InjectedFault): void => void this.faults.push(fault);
    this.consumer = new ChaosConsumer(request, { dice, clock: AT_ONCE, injected });
  }

  handle(delivery: Delivery): void {
    this.runs.push({ n: envelopeOf(delivery)?.data as number, redelivered: delivery.redelivered });
    delivery.acknowledge();
  }

  count(...faults: ChaosFault[]): number {
    return this.faults.filter(({ fault }) => faults.includes(fault)).length;
  }
}

const share = fc.double({ min: 0, max: 1, noNaN: true });
const chaotic: fc.Arbitrary<ChaosOptions> = fc.record({
  ...{ seed: fc.nat(), duplicate: share, reorder: share, delay: share, failBeforeAck: share, failAfterAck: share },
});

describe('under chaos, deliveries', () => {
  it('are acknowledged once each, after as many runs as there were copies', () =>
    fc.assert(
      fc.asyncProperty(chaotic, async (options) => {
        const world = new World(options);
        const all = handed(20);
        for (const delivery of all) await world.consumer.process(delivery, OPEN);

        expect(all.map(({ settled }) => settled)).toEqual(all.map(() => ['acknowledged']));
        expect(world.runs).toHaveLength(all.length + world.count('duplicate', 'failBeforeAck'));
        // One after another, the repeats of each right behind it.
        expect(world.runs.map(({ n }) => n)).toEqual(world.runs.map(({ n }) => n).toSorted((a, b) => a - b));
      }),
    ));

  it('are released once each when their consumer closes while chaos holds them', async () => {
    const world = new World({ seed: 1, reorder: 1 });
    const all = handed(5);
    for (const delivery of all) await world.consumer.process(delivery, slotThat(false));
    expect(all.map(({ settled }) => settled)).toEqual(all.map(() => ['released']));
    expect(world.runs).toEqual([]);
  });

  it('that the consumer gives back are given back, also while they are repeated', async () => {
    let runs = 0;
    const world = new World(
      { seed: 1, failBeforeAck: 1 },
      { process: async (delivery) => (++runs === 1 ? delivery.acknowledge() : delivery.release()) },
    );
    const delivery = new Handed(0);
    await world.consumer.process(delivery, OPEN);
    expect([runs, delivery.settled]).toEqual([2, ['released']]);
  });

  it('abort their signal when the connection dies after the acknowledgement', async () => {
    const seen: Delivery[] = [];
    const none = { duplicate: 0, failBeforeAck: 0, delay: 0, reorder: 0 };
    const world = new World(
      { ...none, seed: 1, failAfterAck: 1 },
      {
        process: async (delivery) => {
          seen.push(delivery);
          expect(delivery.lost.aborted).toBe(false);
          delivery.acknowledge();
        },
      },
    );
    const delivery = new Handed(0);
    await world.consumer.process(delivery, OPEN);
    expect([seen.length, seen[0]?.lost.aborted, delivery.lost.aborted]).toEqual([1, true, false]);
    expect(delivery.settled).toEqual(['acknowledged']);
  });
});

describe('under chaos, batches', () => {
  /** Handles what it is given up to the first bad event of each key; what remains has to go by itself. */
  const handlingUpTo = (bad: ReadonlySet<number>, world: () => World): Pick<ConsumeRequest, 'processBatch'> => ({
    processBatch: async (deliveries) => {
      const held = new Set<string | undefined>();
      return deliveries.filter((delivery) => {
        if (bad.has(envelopeOf(delivery)?.data as number)) held.add(laneKeyOf(delivery));
        if (held.has(laneKeyOf(delivery))) return true;
        world().handle(delivery);
        return false;
      });
    },
  });

  it('are acknowledged once each; a key goes back only to repeat what follows from there', () =>
    fc.assert(
      fc.asyncProperty(chaotic, fc.uniqueArray(fc.nat(19)), async (options, bad) => {
        const world: World = new World(
          options,
          handlingUpTo(new Set(bad), () => world),
        );
        const all = handed(20);
        const left = (await world.consumer.processBatch(all, OPEN)) as Handed[];
        for (const delivery of left) await world.consumer.process(delivery, OPEN);

        expect(all.map(({ settled }) => settled)).toEqual(all.map(() => ['acknowledged']));
        for (const n of bad) expect(left.map((delivery) => delivery.n)).toContain(n);
        for (let key = 0; key < KEYS; key++) {
          const ns = world.runs.map(({ n }) => n).filter((n) => n % KEYS === key);
          const firsts = [...new Set(ns)];
          expect(firsts).toEqual(firsts.toSorted((a, b) => a - b));
          for (const [at, n] of ns.entries()) if (at > 0) expect(n).toBeLessThanOrEqual((ns[at - 1] as number) + KEYS);
        }
      }),
    ));

  it('put what is overtaken last, with what follows it in its key', async () => {
    const none = { duplicate: 0, failBeforeAck: 0, failAfterAck: 0, delay: 0 };
    const world = new World({ ...none, seed: 3, reorder: 0.3 });
    await world.consumer.processBatch(handed(30), OPEN);
    const ns = world.runs.map(({ n }) => n);
    expect(ns).not.toEqual(ns.toSorted((a, b) => a - b));
    for (let key = 0; key < KEYS; key++) {
      const ofKey = ns.filter((n) => n % KEYS === key);
      expect(ofKey).toEqual(ofKey.toSorted((a, b) => a - b));
    }
  });
});

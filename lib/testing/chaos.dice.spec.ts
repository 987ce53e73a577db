import { describe, expect, it } from '@jest/globals';
import { uuidv7 } from 'uuidv7';
import { ChaosDice, type EventIdentity } from './chaos.dice.js';
import { CHAOS_FAULTS, resolveChaosOptions } from './chaos.options.js';

const BODY = Buffer.from('{"n":1}');
const event = (n: number, rest: Partial<EventIdentity> = {}): EventIdentity => ({
  ...{ id: `order-${n}`, name: 'orders.order.placed', key: `key-${n % 7}`, body: BODY },
  ...rest,
});
const dice = (seed: number): ChaosDice => new ChaosDice(resolveChaosOptions({ seed }));

/** What is decided about events, in the order they come. */
function decisions(made: ChaosDice, events: readonly EventIdentity[], scope = 'shop.mails'): unknown[] {
  return events.map((each) => {
    const situation = made.situation(scope, each);
    return CHAOS_FAULTS.map((fault) => [made.hits(fault, situation), made.delayMs(fault, situation)]);
  });
}

const EVENTS = Array.from({ length: 200 }, (_, n) => event(n));

describe('the decisions of chaos', () => {
  it('are the same for the same seed, in whatever order events come', () => {
    const inOrder = decisions(dice(1), EVENTS);
    expect(decisions(dice(1), EVENTS)).toEqual(inOrder);
    expect(decisions(dice(1), EVENTS.toReversed()).reverse()).toEqual(inOrder);
  });

  it('are others for another seed, another handler and another delivery of the same event', () => {
    const made = dice(1);
    const first = decisions(made, EVENTS);
    for (const others of [
      decisions(made, EVENTS),
      decisions(dice(2), EVENTS),
      decisions(dice(1), EVENTS, 'shop.stock'),
    ])
      expect(others).not.toEqual(first);
  });

  it('are the same for the same content when each run gives new UUIDs', () => {
    const events = (): EventIdentity[] =>
      Array.from({ length: 200 }, (_, n) => event(n, { id: uuidv7(), body: Buffer.from(`${n}`) }));
    expect(decisions(dice(1), events())).toEqual(decisions(dice(1), events()));
  });

  it('tell events of the same content apart, and know each of them again', () => {
    const alike = Array.from({ length: 100 }, () => event(0, { id: uuidv7() }));
    const made = dice(3);
    const seen = alike.map((each) => made.situation('shop.mails', each));
    expect(new Set(seen.map(({ identity }) => identity)).size).toBe(100);
    const again = alike.map((each) => made.situation('shop.mails', each));
    expect(again).toEqual(seen.map((situation) => ({ ...situation, occurrence: 1 })));
  });

  it('come about as often as their share says', () => {
    const made = new ChaosDice(resolveChaosOptions({ seed: 5, duplicate: 0.25, delay: 0, reorder: 1 }));
    const situations = Array.from({ length: 2_000 }, (_, n) => made.situation('shop.mails', event(n)));
    const count = (fault: 'duplicate' | 'delay' | 'reorder'): number =>
      situations.filter((situation) => made.hits(fault, situation)).length;
    expect(count('duplicate')).toBeGreaterThan(430);
    expect(count('duplicate')).toBeLessThan(570);
    expect([count('delay'), count('reorder')]).toEqual([0, 2_000]);
  });

  it('need no id: what cannot be decoded is told by its bytes', () => {
    const broken = event(0, { id: undefined, key: undefined, body: Buffer.from([0xff]) });
    expect(decisions(dice(1), [broken, broken])).toEqual(decisions(dice(1), [broken, broken]));
  });
});

import { describe, expect, it } from '@jest/globals';
import { ManualClock } from '../../test/support/manual-clock.js';
import type { Activity } from './activity.js';
import { IntakeWatch } from './intake-watch.js';

const about = { transport: 'memory', group: 'shop', place: 'shop.mails' };
const LIMIT = 3;

function setUp() {
  const clock = new ManualClock();
  const told: string[] = [];
  let inFlight = 0;
  const report = (activity: Activity): void => {
    expect(activity).toEqual({ type: activity.type, ...about });
    told.push(`${activity.type} at ${clock.now()}`);
  };
  const watch = new IntakeWatch({ clock, report, about, isFull: () => inFlight >= LIMIT });
  const take = (): void => {
    inFlight++;
    watch.taken();
  };
  const settle = (): void => {
    inFlight--;
    watch.settled();
  };
  return { clock, told, watch, take, settle };
}

describe('the watch over an intake', () => {
  it('tells when it has been full for 200 ms without anything settled, and when there is room again', () => {
    const { clock, told, take, settle } = setUp();
    for (let n = 0; n < LIMIT; n++) take();
    clock.advance(199);
    expect(told).toEqual([]);
    clock.advance(1_000);
    settle();
    settle();
    expect(told).toEqual(['intake-paused at 200', 'intake-resumed at 1199']);
    expect(clock.pending).toBe(0);
  });

  it('says nothing of one that is busy and gets on', () => {
    const { clock, told, take, settle } = setUp();
    for (let n = 0; n < LIMIT; n++) take();
    for (let ms = 0; ms < 5_000; ms += 150) {
      clock.advance(150);
      settle();
      take();
    }
    expect(told).toEqual([]);
  });

  it('says nothing of one that was full for a moment, and starts no second timer for it', () => {
    const { clock, told, take, settle } = setUp();
    for (let n = 0; n < 100; n++) {
      take();
      take();
      take();
      for (let m = 0; m < LIMIT; m++) settle();
    }
    expect(clock.pending).toBe(1);
    clock.advance(1_000);
    expect([told, clock.pending]).toEqual([[], 0]);
  });

  it('tells that it goes on when it ends, and nothing after that', () => {
    const { clock, told, watch, take } = setUp();
    for (let n = 0; n < LIMIT; n++) take();
    clock.advance(200);
    watch.close();
    take();
    clock.advance(1_000);
    expect(told).toEqual(['intake-paused at 200', 'intake-resumed at 200']);
    expect(clock.pending).toBe(0);
  });
});

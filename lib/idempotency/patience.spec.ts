import { describe, expect, test } from '@jest/globals';
import { Gate } from '../../test/support/eventually.js';
import { ManualClock } from '../../test/support/manual-clock.js';
import type { IdempotencyKey } from './idempotency-store.js';
import { HandledElsewhere, Patience } from './patience.js';

const keys: IdempotencyKey[] = [{ consumer: 'shop.mail', aliases: [], eventId: '1' }];
const elsewhere = (committed = false): HandledElsewhere => new HandledElsewhere(new Error('lock'), { committed });

function setUp(waitMs = 5_000): { clock: ManualClock; patience: Patience } {
  const clock = new ManualClock();
  return { clock, patience: new Patience(clock, waitMs) };
}

describe('asking again while another process handles the event', () => {
  test('pauses longer from time to time, until it is answered', async () => {
    const { clock, patience } = setUp();
    const askedAt: number[] = [];
    const start = clock.now();
    const result = patience.with(keys, async () => {
      askedAt.push(clock.now() - start);
      if (askedAt.length < 5) throw elsewhere();
      return 'done';
    });
    for (let n = 0; n < 20; n++) await clock.advanceAsync(100);
    expect(await result).toBe('done');
    expect(askedAt).toEqual([0, 100, 300, 700, 1_100]);
  });

  test('does not pause when the other has committed already', async () => {
    const { patience } = setUp();
    let asked = 0;
    expect(await patience.with(keys, async () => (asked++ === 0 ? Promise.reject(elsewhere(true)) : 'done'))).toBe(
      'done',
    );
  });

  test('gives up at the limit, by a code that retry knows, with the database’s error as its cause', async () => {
    const { clock, patience } = setUp(250);
    const expected = expect(patience.with(keys, () => Promise.reject(elsewhere()))).rejects.toMatchObject({
      code: 'EVENTS_DUPLICATE_BUSY',
      cause: { message: 'lock' },
    });
    for (let n = 0; n < 6; n++) await clock.advanceAsync(50);
    await expected;
  });

  test('another error comes back as it was, at once', async () => {
    const failure = new Error('the handler failed');
    await expect(setUp().patience.with(keys, () => Promise.reject(failure))).rejects.toBe(failure);
  });

  test('one waiter asks at a time; what it does when answered holds up nobody', async () => {
    const { clock, patience } = setUp(60_000);
    const [asking, handling] = [new Gate(), new Gate()];
    let [now, most, answers] = [0, 0, 0];
    const waiters = Array.from({ length: 5 }, () => {
      let first = true;
      return patience.with(keys, async (answered) => {
        if (first) {
          first = false;
          throw elsewhere();
        }
        most = Math.max(most, ++now);
        await asking.passed;
        now--;
        answers++;
        answered();
        await handling.passed;
        return 'done';
      });
    });
    await clock.advanceAsync(100);
    expect([now, most]).toEqual([1, 1]);
    asking.open();
    // All five are answered while none of them is done.
    for (let n = 0; n < 10; n++) await clock.advanceAsync(1);
    expect(answers).toBe(5);
    handling.open();
    expect(await Promise.all(waiters)).toEqual(Array.from({ length: 5 }, () => 'done'));
    expect(most).toBe(1);
  });

  test('who waits for a turn too long gives up too, and passes it on', async () => {
    const { clock, patience } = setUp(150);
    const gate = new Gate();
    const once = (): (() => Promise<string>) => {
      let first = true;
      return async () => {
        if (first) {
          first = false;
          throw elsewhere();
        }
        await gate.passed;
        return 'done';
      };
    };
    const holder = patience.with(keys, once());
    await clock.advanceAsync(50);
    const waiter = expect(patience.with(keys, once())).rejects.toMatchObject({ code: 'EVENTS_DUPLICATE_BUSY' });
    for (let n = 0; n < 5; n++) await clock.advanceAsync(50);
    await waiter;
    gate.open();
    expect(await holder).toBe('done');
  });
});

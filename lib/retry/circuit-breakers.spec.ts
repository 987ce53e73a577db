import { describe, expect, it } from '@jest/globals';
import { ManualClock } from '../../test/support/manual-clock.js';
import { RecordingLogger } from '../../test/support/recording-logger.js';
import type { Activity } from '../core/activity.js';
import { outcome } from '../core/outcome.js';
import type { Subscription } from '../core/subscription.js';
import { CircuitBreakers } from './circuit-breakers.js';
import { DEFAULT_RETRY } from './retry-policy.js';

const subscription = (handler: string, group = 'shop'): Subscription => ({ handler, group }) as Subscription;

function setUp() {
  const clock = new ManualClock(1_000_000);
  const logger = new RecordingLogger();
  const activities: Activity[] = [];
  const breaker = { backoff: { ...DEFAULT_RETRY.breaker.backoff, jitter: false } };
  const breakers = new CircuitBreakers({
    ...{ clock, logger },
    report: (activity) => activities.push(activity),
    optionsOf: () => ({ ...DEFAULT_RETRY, breaker }),
  });
  const fail = (handler: string, error: unknown): void => {
    breakers.of(subscription(handler)).after(outcome.retry(error, { afterMs: 0, dependency: true }), clock.now());
  };
  return { clock, logger, activities, breakers, fail };
}

describe('the breakers of an application', () => {
  it('are one for each handler of a group, whichever transport asks', () => {
    const { breakers } = setUp();
    expect(breakers.of(subscription('mails'))).toBe(breakers.of(subscription('mails')));
    expect(breakers.of(subscription('mails'))).not.toBe(breakers.of(subscription('mails', 'other')));
    expect(breakers.of(subscription('mails'))).not.toBe(breakers.of(subscription('stock')));
  });

  it('tell each change, warn once for an outage, and log how long it lasted', () => {
    const { clock, logger, activities, breakers, fail } = setUp();
    const refused = Object.assign(new Error('connect to amqp://user:secret@host\nrefused'), { code: 'ECONNREFUSED' });
    fail('mails', refused);
    clock.advance(100);
    fail('mails', refused);
    clock.advance(200);
    breakers.of(subscription('mails')).after(outcome.ack(), clock.now());
    expect(activities).toEqual(
      (
        [
          ['open', 0],
          ['half-open', 100],
          ['open', 100],
          ['half-open', 300],
          ['closed', 300],
        ] as const
      ).map(([state, forMs]) => ({ type: 'breaker', handler: 'mails', group: 'shop', state, forMs, error: refused })),
    );
    expect(logger.messages('warn')).toHaveLength(1);
    expect(logger.messages('warn')[0]).toContain('shop.mails is paused: its breaker has opened (ECONNREFUSED');
    expect(logger.messages('warn')[0]).not.toMatch(/secret|\n/);
    expect(logger.messages('log')).toEqual(['shop.mails goes on: its breaker is closed again after 300 ms']);
  });

  it('tell what state they are in, and since when', () => {
    const { clock, breakers, fail } = setUp();
    breakers.of(subscription('stock'));
    clock.advance(5);
    fail('mails', new Error('away'));
    expect(breakers.all()).toEqual([
      { group: 'shop', handler: 'stock', state: 'closed', since: 1_000_000 },
      { group: 'shop', handler: 'mails', state: 'open', since: 1_000_005, error: new Error('away') },
    ]);
  });

  it('hold no timer once they are closed, also those that are asked for later', () => {
    const { clock, breakers, fail } = setUp();
    fail('mails', new Error('away'));
    breakers.close();
    fail('stock', new Error('away'));
    expect(clock.pending).toBe(0);
  });
});

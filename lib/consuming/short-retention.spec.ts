import { describe, expect, it } from '@jest/globals';
import { RecordingLogger } from '../../test/support/recording-logger.js';
import type { Subscription } from '../core/subscription.js';
import type { Transport, TransportRetention } from '../core/transport.js';
import { TransportRegistry } from '../core/transport-registry.js';
import type { PlacedSubscription } from './subscription-plan.js';
import { warnOfShortRetention } from './short-retention.js';

const HOUR = 3_600_000;
const WEEK = 7 * 24 * HOUR;

const placed = (handler: string, rest: Partial<Subscription> = {}, transport?: string): PlacedSubscription => ({
  subscription: { handler, group: 'shop', patterns: ['orders.#'], idempotent: true, ...rest } as Subscription,
  transport,
});

/** Checks against a transport "kafka" that answers so; returns what was logged, and which handlers were asked about. */
async function check(answer: () => TransportRetention | undefined, subscriptions = [placed('a')]) {
  const asked: string[] = [];
  const kafka = {
    name: 'kafka',
    retention: async (of: readonly Subscription[]) => {
      asked.push(...of.map(({ handler }) => handler));
      return answer();
    },
  } as Partial<Transport> as Transport;
  const silent = { name: 'memory' } as Partial<Transport> as Transport;
  const logger = new RecordingLogger();
  const transports = new TransportRegistry([kafka, silent]);
  await warnOfShortRetention({ rememberedMs: WEEK, subscriptions, transports, logger });
  return { logger, asked };
}

const kept = (ms: number): TransportRetention => ({ ms, where: 'the topic "orders.order"', setting: 'retention.ms' });

describe('a transport that keeps events for longer than it is remembered that they were handled', () => {
  it('is warned about, with both times and what to do', async () => {
    const { logger } = await check(() => kept(2 * WEEK));
    expect(logger.messages('warn')).toEqual([
      expect.stringMatching(
        /topic "orders.order" of the transport "kafka".*14 days.*7 days.*14 days.*retention: \{ days \}.*retention\.ms/,
      ),
    ]);
  });

  it('may keep them without end', async () => {
    const { logger } = await check(() => kept(Infinity));
    expect(logger.messages('warn')).toEqual([expect.stringContaining('without end')]);
  });

  it.each([
    ['as long', kept(WEEK)],
    ['shorter', kept(HOUR)],
    ['nobody knows how long', undefined],
  ])('is none that keeps them %s', async (_, answer) => {
    const { logger } = await check(() => answer);
    expect(logger.lines).toEqual([]);
  });

  it('is asked only about handlers that need it, and that listen there', async () => {
    const { asked } = await check(
      () => undefined,
      [
        placed('a'),
        placed('free', { idempotent: false }),
        placed('elsewhere', {}, 'memory'),
        placed('there', {}, 'kafka'),
      ],
    );
    expect(asked).toEqual(['a', 'there']);
  });

  it('may refuse to tell: that is worth a debug line, and no failure', async () => {
    const { logger } = await check(() => {
      throw new Error('not authorized, kafka://user:secret@host');
    });
    expect(logger.lines).toEqual([
      { level: 'debug', message: expect.stringMatching(/kafka does not say.*not authorized.*user:\*\*\*@/) },
    ]);
  });
});

import { describe, expect, it } from '@jest/globals';
import { ManualClock, microtasks } from '../../test/support/manual-clock.js';
import { RecordingLogger } from '../../test/support/recording-logger.js';
import type { Subscription } from '../core/subscription.js';
import type { ConsumeRequest, Transport, TransportConsumer } from '../core/transport.js';
import { TransportRegistry } from '../core/transport-registry.js';
import { CircuitBreakers } from '../retry/circuit-breakers.js';
import { DEFAULT_RETRY } from '../retry/retry-policy.js';
import { Consumers } from './consumers.js';
import type { PlacedSubscription } from './subscription-plan.js';

const placed = (handler: string, group: string, transport?: string): PlacedSubscription => ({
  subscription: { handler, group, patterns: [`${group}.#`], aliases: [] } as Partial<Subscription> as Subscription,
  transport,
});

/** A transport whose consumers do as the test says, and what was asked of it. */
function world(consume: (request: ConsumeRequest, steps: string[]) => Promise<Partial<TransportConsumer>>) {
  const steps: string[] = [];
  const transport = {
    name: 'kafka',
    writeDeadLetter: async () => undefined,
    declare: async (subscriptions: readonly Subscription[]) =>
      void steps.push(`declare ${subscriptions.map(({ handler }) => handler).join('+')}`),
    consume: async (request: ConsumeRequest) => {
      const behaviour = await consume(request, steps);
      const step = (name: string) => async () => void steps.push(`${name} ${request.group}`);
      return { stop: step('stop'), drain: step('drain'), close: step('close'), ...behaviour };
    },
  } as Partial<Transport> as Transport;
  const clock = new ManualClock();
  const tools = { clock, logger: new RecordingLogger(), report: () => undefined };
  const consumers = new Consumers(new TransportRegistry([transport]), {
    ...tools,
    breakers: new CircuitBreakers({ ...tools, optionsOf: () => DEFAULT_RETRY }),
    pipeline: () => Promise.reject(new Error('not asked')),
    policy: {
      decide: () => {
        throw new Error('not asked');
      },
    },
  });
  return { consumers, steps, clock };
}

describe('the consumers of an application', () => {
  it('are one for each group, which are stopped, drained and closed in this order', async () => {
    const { consumers, steps } = world(async () => ({}));
    const handlers = [placed('a', 'mails'), placed('b', 'orders'), placed('c', 'mails')];
    await consumers.declare(handlers);
    await consumers.start(handlers);
    expect(await consumers.drain(1_000)).toBe(0);
    expect(steps).toEqual([
      ...['declare a+c', 'declare b'],
      ...['stop mails', 'stop orders', 'drain mails', 'drain orders', 'close mails', 'close orders'],
    ]);
  });

  it('that have started are there to be drained when another fails to start, also one that starts later', async () => {
    let startLate = (): void => undefined;
    const { consumers, steps } = world(async ({ group }) => {
      if (group === 'broken') throw new Error('the queue exists with other arguments');
      await new Promise<void>((resolve) => (startLate = resolve));
      return {};
    });
    const starting = consumers.start([placed('a', 'broken'), placed('b', 'late')]);
    let failed = false;
    starting.catch(() => (failed = true));
    await microtasks();
    expect(failed).toBe(false);
    startLate();
    await expect(starting).rejects.toThrow('other arguments');
    await consumers.drain(1_000);
    expect(steps).toEqual(['stop late', 'drain late', 'close late']);
  });

  it('are closed at the deadline, and it is told how many had not finished', async () => {
    const { consumers, steps, clock } = world(async ({ group }) =>
      group === 'slow' ? { drain: () => new Promise<void>(() => undefined) } : {},
    );
    await consumers.start([placed('a', 'slow'), placed('b', 'quick')]);
    const drained = consumers.drain(30_000);
    await clock.advanceAsync(29_999);
    expect(steps).not.toContain('close slow');
    await clock.advanceAsync(1);
    expect(await drained).toBe(1);
    expect(steps).toContain('close slow');
  });

  it('name the handler that asks for a transport nobody configured', async () => {
    const { consumers } = world(async () => ({}));
    await expect(consumers.declare([placed('mailer', 'mails', 'pigeon')])).rejects.toMatchObject({
      code: 'EVENTS_TRANSPORT_UNKNOWN',
      handler: 'mailer',
      message: expect.stringMatching(/"pigeon" \(handler "mailer"\)\. Configured are: kafka/),
    });
  });
});

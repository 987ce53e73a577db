import { describe, expect, jest, test } from '@jest/globals';
import { EventsModule, OnEvent, memory, type EventsModuleOptions } from '../../lib/index.js';
import { Injectable } from '@nestjs/common';
import { useApps } from '../support/nest-app.js';

const start = useApps();

const wrong: [string, Record<string, unknown>, string][] = [
  ['no service', { service: undefined }, 'service must be a name'],
  ['a service that is no text', { service: 5 }, 'service must be a name'],
  ['a service with a space', { service: 'my shop' }, 'service must be a name'],
  ['an empty list of transports', { transports: [] }, 'transports must be a list of at least one'],
  ['transports that are no list', { transports: memory() }, 'transports must be a list of at least one'],
  ['a transport that is none', { transports: [memory(), { brokers: [] }] }, 'transports[1] must be made by memory()'],
  ['two transports of one name', { transports: [memory(), memory()] }, 'transports has two named "memory"'],
  ['a route to nowhere', { routes: { 'orders.#': 'kafka' } }, 'routes["orders.#"] names "kafka"'],
  ['a route that is no pattern', { routes: { 'orders..#': 'memory' } }, 'routes has the key "orders..#"'],
  ['an idempotency that is none', { idempotency: {} }, 'idempotency must be made by typeormIdempotency()'],
  ['an outbox that is none', { outbox: true }, 'outbox must be made by typeormOutbox()'],
  ['no attempts', { retry: { attempts: 0 } }, 'retry.attempts must be a whole number above 0'],
  ['a wait that is a text', { retry: { backoff: { initialMs: '1s' } } }, 'retry.backoff.initialMs must be a whole'],
  ['an endless wait', { retry: { backoff: { maxMs: Infinity } } }, 'retry.backoff.maxMs must be a whole'],
  ['an unknown backoff', { retry: { backoff: { type: 'linear' } } }, 'retry.backoff.type must be'],
  ['half a handler', { concurrency: 0.5 }, 'concurrency must be a whole number above 0'],
  ['no window', { window: { maxDeliveries: 0 } }, 'window.maxDeliveries must be a whole'],
  ['a negative window', { window: { maxBytes: -1 } }, 'window.maxBytes must be a whole'],
  ['no time to publish', { publishTimeoutMs: 0 }, 'publishTimeoutMs must be a whole'],
  ['no time to drain', { drainTimeoutMs: NaN }, 'drainTimeoutMs must be a whole'],
  ['a watchdog that is none', { watchdog: true }, 'watchdog must be false or'],
  ['no time to block', { watchdog: { blockedMs: 0 } }, 'watchdog.blockedMs must be a whole'],
  ['half an end', { watchdog: { endProcess: 'maybe' } }, 'watchdog.endProcess must be true or false'],
  ['no payload', { maxPayloadBytes: -5 }, 'maxPayloadBytes must be a whole'],
  ['a misspelt option', { retries: 3 }, 'retries is not an option'],
];

describe('forRoot refuses', () => {
  test.each(wrong)('%s', async (_, options, message) => {
    const refused = start({ options: options });
    await expect(refused).rejects.toMatchObject({
      code: 'EVENTS_OPTIONS_INVALID',
      message: expect.stringContaining(message),
      remedy: expect.stringContaining('EventsModule.forRoot'),
    });
  });

  test('all mistakes at once, each by its path', async () => {
    const options = { service: '', concurrency: 0, retry: { attempts: -1 }, colour: 'red' } as never;
    const error = await start({ options }).catch((reason: unknown) => reason as Error);
    for (const path of ['service', 'concurrency', 'retry.attempts', 'colour']) {
      expect((error as Error).message).toContain(`${path} `);
    }
  });

  test('options that are no object', async () => {
    const events = EventsModule.forRootAsync({ useFactory: () => undefined as never });
    await expect(start({ events })).rejects.toMatchObject({ code: 'EVENTS_OPTIONS_INVALID' });
  });
});

test('only the service is needed', async () => {
  @Injectable()
  class Emails {
    @OnEvent('orders.order.placed')
    send(): void {}
  }
  const app = await start({ events: EventsModule.forRoot({ service: 'shop' }), providers: [Emails] });
  await app.bus.publish('orders.order.placed', null);
  expect(await app.saw('handled')).toMatchObject([{ group: 'shop', transport: 'memory' }]);
});

describe('in production', () => {
  const inProduction = async (options: Partial<EventsModuleOptions>): Promise<unknown> => {
    jest.replaceProperty(process.env, 'NODE_ENV', 'production');
    try {
      return await start({ options });
    } finally {
      jest.restoreAllMocks();
    }
  };
  test('the memory transport does not start', async () => {
    await expect(inProduction({})).rejects.toMatchObject({ code: 'EVENTS_MEMORY_IN_PRODUCTION' });
  });
  test('unless it is told that losing events is fine', async () => {
    await expect(inProduction({ transports: [memory({ allowMemory: true })] })).resolves.toBeDefined();
  });
});

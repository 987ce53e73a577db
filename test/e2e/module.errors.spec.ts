import { afterEach, expect, jest, test } from '@jest/globals';
import { Injectable, Module, type Type } from '@nestjs/common';
import { EventsModule, OnEvent, type OnEventOptions } from '../../lib/index.js';
import { useApps } from '../support/nest-app.js';

const start = useApps();
afterEach(() => {
  jest.useRealTimers();
  jest.restoreAllMocks();
});

function handler(pattern: string, options: OnEventOptions = {}): Type<unknown> {
  @Injectable()
  class Emails {
    @OnEvent(pattern, options)
    send(): void {}
  }
  return Emails;
}

test('two handlers of a group with the same id are refused, both named', async () => {
  @Injectable()
  class Emails {
    @OnEvent('orders.order.placed', { id: 'mail' })
    send(): void {}
  }
  @Injectable()
  class Letters {
    @OnEvent('orders.order.placed', { id: 'mail' })
    print(): void {}
  }
  await expect(start({ providers: [Emails, Letters] })).rejects.toMatchObject({
    code: 'EVENTS_HANDLER_DUPLICATE',
    handler: 'mail',
    message: expect.stringMatching(/Emails\.send and Letters\.print.*"shop".*same id/),
  });
});

test('two classes of one name in one group are refused until they differ in group', async () => {
  const [one, two] = [handler('orders.order.placed'), handler('orders.order.placed')];
  await expect(start({ providers: [one, { provide: 'two', useClass: two }] })).rejects.toMatchObject({
    code: 'EVENTS_HANDLER_DUPLICATE',
    remedy: expect.stringContaining('forFeature'),
  });
  @Module({ imports: [EventsModule.forFeature({ group: 'other' })], providers: [two] })
  class OtherModule {}
  await start({ imports: [OtherModule], providers: [one] });
});

const patterns: [string, string][] = [
  ['orders..placed', 'empty word'],
  ['', 'empty'],
  ['orders.order placed', 'not allowed'],
  ['orders.plac*', 'not allowed'],
  ['orders.dlq', 'reserved'],
  ['größe.order.placed', 'not allowed'],
  [`${'x'.repeat(256)}`, '255 bytes'],
];
test.each(patterns)('the pattern %j is refused with its handler', async (pattern, problem) => {
  await expect(start({ providers: [handler(pattern)] })).rejects.toMatchObject({
    code: 'EVENTS_PATTERN_INVALID',
    handler: 'Emails.send',
    message: expect.stringContaining(problem),
  });
});

const handlers: [string, OnEventOptions, string][] = [
  ['an id with a space', { id: 'my emails' }, 'its id'],
  ['an empty id', { id: '' }, 'its id'],
  ['a group with a slash', { group: 'a/b' }, 'its group "a/b"'],
  ['no concurrency', { concurrency: 0 }, 'its concurrency'],
];
test.each(handlers)('a handler with %s is refused', async (_, options, problem) => {
  await expect(start({ providers: [handler('orders.order.placed', options)] })).rejects.toMatchObject({
    code: 'EVENTS_HANDLER_INVALID',
    message: expect.stringContaining(`Emails.send cannot be a handler: ${problem}`),
  });
});

test('decorators of one handler that disagree are refused', async () => {
  @Injectable()
  class Emails {
    @OnEvent('orders.order.placed', { concurrency: 1 })
    @OnEvent('orders.order.paid', { concurrency: 2 })
    send(): void {}
  }
  await expect(start({ providers: [Emails] })).rejects.toMatchObject({
    code: 'EVENTS_HANDLER_INVALID',
    message: expect.stringContaining('its decorators disagree about "concurrency"'),
  });
});

test('a handler on a transport that does not exist is refused, with those that do', async () => {
  await expect(start({ providers: [handler('orders.order.placed', { transport: 'kafka' })] })).rejects.toMatchObject({
    code: 'EVENTS_TRANSPORT_UNKNOWN',
    handler: 'Emails.send',
    message: expect.stringMatching(/"kafka".*Emails\.send.*memory/),
  });
});

test('a handler on a provider made by a factory works, with a warning about its enhancers', async () => {
  const Emails = handler('orders.order.placed');
  const app = await start({ providers: [{ provide: 'emails', useFactory: () => new Emails() }] });
  expect(app.logger.messages('warn')).toEqual([
    expect.stringContaining('Emails.send is a handler on a provider made by a factory'),
  ]);
  await app.bus.publish('orders.order.placed', null);
  await app.saw('handled');
});

const WARNING = expect.stringContaining('app.enableShutdownHooks()');

test('an application without shutdown hooks is told, a moment after its start', async () => {
  jest.useFakeTimers();
  jest.spyOn(process, 'listenerCount').mockReturnValue(0);
  const app = await start();
  expect(app.logger.messages('warn')).toEqual([]);
  jest.advanceTimersByTime(1_000);
  expect(app.logger.messages('warn')).toEqual([WARNING]);
});

test('an application with shutdown hooks is not', async () => {
  jest.useFakeTimers();
  const app = await start();
  app.module.enableShutdownHooks();
  jest.advanceTimersByTime(60_000);
  expect(app.logger.messages('warn')).toEqual([]);
});

import { describe, expect, it, jest } from '@jest/globals';
import { ManualClock } from '../../test/support/manual-clock.js';
import { sleep } from './clock.js';
import type { Delivery } from './delivery.js';
import { HandlerLanes } from './handler-lanes.js';
import { UNLIMITED } from './limit.js';
import type { EventsLogger } from './logger.js';
import type { Subscription } from './subscription.js';

function subscription(handler: string, rest: Partial<Subscription> = {}): Subscription {
  const defaults = {
    aliases: [],
    group: 'shop',
    patterns: ['#'],
    concurrency: 2,
    idempotent: true,
    transportOptions: {},
  };
  return { handler, ordering: 'key', afterDeadLetter: 'continue', ...defaults, ...rest };
}

function delivery(of: Subscription, id: string, key?: string): Delivery & { release: jest.Mock } {
  const envelope = {
    id,
    name: 'a',
    source: 's',
    time: '',
    data: null,
    headers: {},
    ...(key === undefined ? {} : { key }),
  };
  return {
    subscription: of,
    content: id === 'undecodable' ? { undecodable: new Error(id) } : { envelope },
    raw: { place: { transport: 'memory', address: 'a' }, body: null, headers: {} },
    redelivered: false,
    lost: new AbortController().signal,
    acknowledge: jest.fn(),
    release: jest.fn(),
  };
}

function setUp() {
  const clock = new ManualClock();
  const started: string[] = [];
  const error = jest.fn<EventsLogger['error']>();
  const logger: EventsLogger = { debug: jest.fn(), log: jest.fn(), warn: jest.fn(), error };
  const lanes = new HandlerLanes({
    clock,
    logger,
    limitOf: () => UNLIMITED,
    process: async ({ subscription: of, content }) => {
      const id = 'envelope' in content ? content.envelope.id : 'undecodable';
      started.push(`${of.handler}:${id}`);
      await sleep(clock, 10);
      if (id === 'broken') throw new Error('lost its way');
    },
    processBatch: async (deliveries) => {
      const ids = deliveries.map(({ content }) => ('envelope' in content ? content.envelope.id : 'undecodable'));
      started.push(`batch of ${ids.join(',')}`);
      await sleep(clock, 10);
      return deliveries.filter((_, index) => ids[index] === 'bad');
    },
  });
  return { clock, lanes, started, error };
}

describe('HandlerLanes', () => {
  it('keep the order of a key within a handler, and handlers apart', () => {
    const { lanes, started } = setUp();
    const [mail, stock] = [subscription('mail'), subscription('stock')];
    for (const handler of [mail, stock]) for (const id of ['1', '2']) lanes.push(delivery(handler, id, 'k'));
    expect(started).toEqual(['mail:1', 'stock:1']);
  });

  it('bound each handler by its own concurrency', () => {
    const { lanes, started } = setUp();
    const [mail, stock] = [subscription('mail', { concurrency: 1 }), subscription('stock', { concurrency: 3 })];
    for (const handler of [mail, stock]) for (const id of ['1', '2', '3']) lanes.push(delivery(handler, id));
    expect(started).toEqual(['mail:1', 'stock:1', 'stock:2', 'stock:3']);
  });

  it('run events of one key side by side where a handler wants no order', () => {
    const { lanes, started } = setUp();
    const mail = subscription('mail', { ordering: 'none' });
    for (const id of ['1', '2']) lanes.push(delivery(mail, id, 'k'));
    expect(started).toEqual(['mail:1', 'mail:2']);
  });

  it('do not let an event that cannot be decoded wait for a key', () => {
    const { lanes, started } = setUp();
    const mail = subscription('mail');
    lanes.push(delivery(mail, '1', 'k'));
    lanes.push(delivery(mail, 'undecodable', 'k'));
    expect(started).toEqual(['mail:1', 'mail:undecodable']);
  });

  it('log an error that escapes with the group, the handler and the message, and go on', async () => {
    const { clock, lanes, started, error } = setUp();
    const mail = subscription('mail');
    for (const id of ['broken', 'next']) lanes.push(delivery(mail, id, 'k'));
    await clock.advanceAsync(10);
    expect(started).toEqual(['mail:broken', 'mail:next']);
    expect(error.mock.calls.flat().join()).toMatch(/shop\.mail.*lost its way/);
  });

  it('hand over in batches where a handler wants them, and one by one what a batch returns or cannot take', async () => {
    const { clock, lanes, started } = setUp();
    const views = subscription('views', { concurrency: 4, batch: { size: 4, waitMs: 20 } });
    for (const id of ['1', 'bad', 'undecodable', '2']) lanes.push(delivery(views, id, id));
    lanes.push({ ...delivery(views, 'earlier', 'k'), alone: true });
    lanes.push(delivery(views, '3', 'bad'));
    expect(started).toEqual(['views:undecodable', 'views:earlier', 'batch of 1,bad,2,3']);
    lanes.push(delivery(views, '4', 'bad'));
    await clock.advanceAsync(10);
    expect(started.slice(3)).toEqual(['views:bad']);
    await clock.advanceAsync(10);
    expect(started.slice(4)).toEqual(['batch of 4']);
  });

  it('release what has not started when closed, and end when the rest has', async () => {
    const { clock, lanes, started } = setUp();
    const mail = subscription('mail');
    const [first, second] = [delivery(mail, '1', 'k'), delivery(mail, '2', 'k')];
    for (const each of [first, second]) lanes.push(each);
    lanes.close();
    expect([first, second].map(({ release }) => release.mock.calls.length)).toEqual([0, 1]);
    const idle = jest.fn();
    void lanes.idle().then(idle);
    await clock.advanceAsync(9);
    expect(idle).not.toHaveBeenCalled();
    await clock.advanceAsync(1);
    expect(idle).toHaveBeenCalledTimes(1);
    expect(started).toEqual(['mail:1']);
  });

  it('release what comes once closed, also for a handler that had nothing before', () => {
    const { lanes, started } = setUp();
    const [mail, stock] = [subscription('mail'), subscription('stock')];
    lanes.push(delivery(mail, '1', 'k'));
    lanes.close();
    const late = [delivery(mail, '2', 'k'), delivery(stock, '2', 'k')];
    for (const each of late) lanes.push(each);
    expect(late.map(({ release }) => release.mock.calls.length)).toEqual([1, 1]);
    expect(started).toEqual(['mail:1']);
  });
});

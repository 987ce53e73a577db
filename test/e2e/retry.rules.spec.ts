import { expect, test } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { BatchError, OnEvent, OnEvents, Payload, type Envelope, type RetryRule } from '../../lib/index.js';
import { useApps } from '../support/nest-app.js';

const start = useApps();

class OutOfStock extends Error {}
class Unwanted extends Error {}

const thrown = {
  stock: () => new OutOfStock('none left'),
  unwanted: () => new Error('wrapped', { cause: new Unwanted('spam') }),
  taken: () => Object.assign(new Error('taken'), { code: '23505' }),
  other: () => new Error('something else'),
};

test("a handler's rules decide first, then the module's, then the kind of the error", async () => {
  const runs: string[] = [];
  @Injectable()
  class Orders {
    @OnEvent('orders.order.placed', {
      id: 'orders',
      retry: {
        rules: [
          { class: OutOfStock, action: 'retry-now', attempts: 3 },
          { code: '23505', action: 'dead-letter' },
        ],
      },
    })
    handle(@Payload() what: keyof typeof thrown): void {
      runs.push(what);
      throw thrown[what]();
    }
  }
  const rules: RetryRule[] = [
    { class: Unwanted, action: 'drop' },
    { code: '23505', action: 'drop' },
  ];
  const backoff = { type: 'fixed', initialMs: 5, maxMs: 5, jitter: false } as const;
  const app = await start({ providers: [Orders], options: { retry: { attempts: 2, backoff, rules } } });
  for (const what of Object.keys(thrown)) await app.bus.publish('orders.order.placed', what);
  await app.saw('dead-lettered', 3);
  await app.saw('dropped');

  const count = (what: string): number => runs.filter((run) => run === what).length;
  expect({ stock: count('stock'), unwanted: count('unwanted'), taken: count('taken'), other: count('other') }).toEqual({
    ...{ stock: 3, unwanted: 1, taken: 1, other: 2 },
  });
  expect(app.of('dropped')).toMatchObject([{ handler: 'orders', reason: 'dropped by a rule of retry: Error' }]);
  expect(app.of('retried').filter(({ error }) => error instanceof OutOfStock)).toMatchObject([
    { afterMs: 0, counts: true },
    { afterMs: 0, counts: true },
  ]);
});

test('a rule can pause a handler, which has none of its attempts used up', async () => {
  let closed = true;
  @Injectable()
  class Orders {
    @OnEvent('orders.order.placed', {
      id: 'orders',
      retry: { attempts: 1, rules: [{ when: (error) => error instanceof OutOfStock, action: 'pause', pauseMs: 300 }] },
    })
    handle(): void {
      if (closed) throw new OutOfStock('closed for the night');
    }
  }
  const app = await start({ providers: [Orders] });
  await app.bus.publish('orders.order.placed', {});
  await app.saw('retried');
  closed = false;
  await app.saw('handled');
  expect(app.of('retried')).toMatchObject([{ dependency: true, counts: false }]);
  expect(app.of('retried')[0]?.afterMs).toBeGreaterThanOrEqual(300);
  expect(app.of('breaker').map(({ state }) => state)).toEqual(['open', 'half-open', 'closed']);
  expect(app.of('breaker').at(-1)?.forMs).toBeGreaterThanOrEqual(300);
});

test('a predicate that throws does not match, and that is logged', async () => {
  @Injectable()
  class Orders {
    @OnEvent('orders.order.placed', {
      id: 'orders',
      retry: {
        attempts: 1,
        rules: [
          { when: (error) => (error as { response: { status: number } }).response.status === 404, action: 'drop' },
        ],
      },
    })
    handle(): void {
      throw new Error('boom');
    }
  }
  const app = await start({ providers: [Orders] });
  await app.bus.publish('orders.order.placed', {});
  await app.saw('dead-lettered');
  expect(app.logger.messages('warn').join('\n')).toMatch(
    /shop\.orders: the "when" of a rule of retry \("drop"\) threw/,
  );
});

test('of a batch only the events that a rule is about are dropped', async () => {
  const seen = new Set<number>();
  @Injectable()
  class Views {
    @OnEvents('analytics.page.viewed', {
      id: 'views',
      batch: { size: 6, waitMs: 50 },
      retry: { rules: [{ class: Unwanted, action: 'drop' }] },
    })
    store(envelopes: Envelope<number>[]): void {
      const spam = envelopes.findIndex(({ data }) => data === 2);
      if (spam >= 0) throw new BatchError([{ index: spam, error: new Unwanted('spam') }]);
      if (envelopes.some(({ data }) => data === 4)) throw new Unwanted('who knows which');
      for (const { data } of envelopes) seen.add(data);
    }
  }
  const app = await start({ providers: [Views] });
  await app.bus.publishAll([0, 1, 2, 3, 4, 5].map((data) => ({ name: 'analytics.page.viewed', data })));
  await app.saw('dropped', 2);
  await app.saw('handled', 4);
  expect([...seen].sort()).toEqual([0, 1, 3, 5]);
});

test.each([
  [
    'a rule about nothing',
    { rules: [{ action: 'drop' }] },
    'retry.rules[0] needs at least one of class, code and when',
  ],
  ['no attempts', { attempts: 0 }, 'retry.attempts must be a whole number above 0'],
  ['a share of 50', { breaker: { rate: { failures: 50 } } }, 'retry.breaker.rate.failures must be a share'],
])('a handler with %s in its retry is refused at start, by its name', async (_, retry, problem) => {
  @Injectable()
  class Orders {
    @OnEvent('orders.order.placed', { id: 'orders', retry: retry as never })
    handle(): void {}
  }
  const refused = start({ providers: [Orders] });
  await expect(refused).rejects.toMatchObject({
    code: 'EVENTS_HANDLER_INVALID',
    handler: 'orders',
    message: expect.stringContaining(problem),
  });
});

test('two decorators of one handler agree about rules only when these are the same', async () => {
  const rule = { class: OutOfStock, action: 'drop' } as const;
  @Injectable()
  class Same {
    @OnEvent('orders.order.placed', { id: 'same', retry: { rules: [rule] } })
    @OnEvent('orders.order.paid', { id: 'same', retry: { rules: [{ ...rule }] } })
    handle(): void {}
  }
  await start({ providers: [Same] });

  @Injectable()
  class Different {
    @OnEvent('orders.order.placed', { id: 'different', retry: { rules: [rule] } })
    @OnEvent('orders.order.paid', { id: 'different', retry: { rules: [{ class: Unwanted, action: 'drop' }] } })
    handle(): void {}
  }
  await expect(start({ providers: [Different] })).rejects.toThrow('its decorators disagree about "retry"');
});

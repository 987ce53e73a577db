import { describe, expect, test } from '@jest/globals';
import {
  Injectable,
  UseInterceptors,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { EMPTY, catchError, delay, from, map, of, throwError, timer, type Observable } from 'rxjs';
import { OnEvent, outcome } from '../../lib/index.js';
import { useApps } from '../support/nest-app.js';

const start = useApps();
class OutOfStock extends Error {
  override readonly name = 'OutOfStock';
}

describe('handlers and interceptors', () => {
  const results: Record<string, () => unknown> = {
    'a value': () => 'done',
    nothing: () => undefined,
    'a promise': () => Promise.resolve('done'),
    'an Observable': () => from([1, 2, 3]).pipe(delay(1)),
    'an empty Observable': () => EMPTY,
    'a promise of an empty Observable': () => Promise.resolve(EMPTY),
  };
  test.each(Object.keys(results))('a handler that returns %s is done, once', async (kind) => {
    @Injectable()
    class Emails {
      @OnEvent('orders.order.placed')
      send(): unknown {
        return results[kind]?.();
      }
    }
    const app = await start({ providers: [Emails] });
    await app.bus.publish('orders.order.placed', null);
    await app.saw('handled');
    expect(app.of('handled')).toHaveLength(1);
    expect([...app.of('retried'), ...app.of('dead-lettered')]).toEqual([]);
  });

  const failures: Record<string, () => unknown> = {
    throws: () => {
      throw new OutOfStock('none left');
    },
    rejects: () => Promise.reject(new OutOfStock('none left')),
    'returns an Observable that fails': () => throwError(() => new OutOfStock('none left')),
    'returns an Observable that fails late': () =>
      timer(1).pipe(
        map(() => {
          throw new OutOfStock('none left');
        }),
      ),
  };
  test.each(Object.keys(failures))(
    'a handler that %s is tried four times, then its event is a dead letter',
    async (kind) => {
      @Injectable()
      class Emails {
        @OnEvent('orders.order.placed', { id: 'emails' })
        send(): unknown {
          return failures[kind]?.();
        }
      }
      const app = await start({ providers: [Emails] });
      await app.bus.publish('orders.order.placed', null);
      await app.saw('dead-lettered');
      expect(app.of('retried').map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
      expect(app.of('handled')).toEqual([]);
      expect(await app.deadLetters('emails')).toMatchObject([
        { attempts: 4, error: { code: 'OutOfStock', message: 'none left' } },
      ]);
    },
  );

  test('an interceptor that skips the handler with an empty Observable acknowledges', async () => {
    let runs = 0;
    class Skip implements NestInterceptor {
      intercept(): Observable<unknown> {
        return EMPTY;
      }
    }
    @Injectable()
    class Emails {
      @OnEvent('orders.order.placed')
      @UseInterceptors(Skip)
      send(): void {
        runs++;
      }
    }
    const app = await start({ providers: [Emails] });
    await app.bus.publish('orders.order.placed', null);
    await app.saw('handled');
    expect(runs).toBe(0);
  });

  test('an interceptor that catches the error on purpose makes it a success', async () => {
    class Catching implements NestInterceptor {
      intercept(_: ExecutionContext, next: CallHandler): Observable<unknown> {
        return next.handle().pipe(catchError(() => of('never mind')));
      }
    }
    @Injectable()
    class Emails {
      @OnEvent('orders.order.placed')
      @UseInterceptors(Catching)
      send(): void {
        throw new OutOfStock();
      }
    }
    const app = await start({ providers: [Emails] });
    await app.bus.publish('orders.order.placed', null);
    await app.saw('handled');
  });

  test('a handler may return the outcome itself', async () => {
    @Injectable()
    class Emails {
      @OnEvent('orders.order.*')
      send(order: { drop: boolean }): unknown {
        return order.drop ? outcome.drop('nobody wants it') : of(outcome.deadLetter(new OutOfStock('parked')));
      }
    }
    const app = await start({ providers: [Emails] });
    await app.bus.publish('orders.order.placed', { drop: true });
    await app.bus.publish('orders.order.placed', { drop: false });
    expect(await app.saw('dropped')).toMatchObject([{ reason: 'nobody wants it' }]);
    await app.saw('dead-lettered');
    expect(await app.deadLetters('Emails.send')).toMatchObject([{ attempts: 1, error: { code: 'OutOfStock' } }]);
  });
});

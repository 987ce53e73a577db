import { describe, expect, test } from '@jest/globals';
import {
  Catch,
  Injectable,
  UseFilters,
  UseInterceptors,
  type ArgumentsHost,
  type ExceptionFilter,
} from '@nestjs/common';
import { EMPTY, of, throwError } from 'rxjs';
import {
  DeadLetterFilter,
  IdempotencyInterceptor,
  OnEvent,
  memoryIdempotency,
  outcome,
  type Attempt,
} from '../../lib/index.js';
import { useApps } from '../support/nest-app.js';

const start = useApps();
class OutOfStock extends Error {
  override readonly name = 'OutOfStock';
}

describe('filters', () => {
  const harmless: Record<string, (error: unknown) => unknown> = {
    'returns nothing': () => undefined,
    'returns null': () => null,
    'returns a promise of nothing': () => Promise.resolve(),
    'returns a text': () => 'handled it',
    'returns an Observable of nothing': () => of(undefined),
    'returns an empty Observable': () => EMPTY,
    throws: () => {
      throw new TypeError('the filter is broken');
    },
    rejects: () => Promise.reject(new TypeError('the filter is broken')),
    'returns an Observable that fails': () => throwError(() => new TypeError('the filter is broken')),
    'rethrows the error': (error) => {
      throw error;
    },
  };
  test.each(Object.keys(harmless))(
    'a filter that %s leaves the failure a failure, with its own error',
    async (kind) => {
      let caught = 0;
      @Catch()
      class Log implements ExceptionFilter {
        catch(error: unknown): unknown {
          caught++;
          return harmless[kind]?.(error);
        }
      }
      @Injectable()
      @UseFilters(Log)
      class Emails {
        @OnEvent('orders.order.placed', { id: 'emails' })
        send(): void {
          throw new OutOfStock('none left');
        }
      }
      const app = await start({ providers: [Emails] });
      await app.bus.publish('orders.order.placed', null);
      await app.saw('dead-lettered');
      expect(caught).toBe(4);
      expect(app.of('handled')).toEqual([]);
      expect(await app.deadLetters('emails')).toMatchObject([
        { attempts: 4, error: { code: 'OutOfStock', message: 'none left' } },
      ]);
    },
  );

  const deciding: Record<string, () => unknown> = {
    'the outcome': () => outcome.drop('known problem'),
    'a promise of it': () => Promise.resolve(outcome.drop('known problem')),
    'an Observable of it': () => of(outcome.drop('known problem')),
  };
  test.each(Object.keys(deciding))('a filter that returns %s decides', async (kind) => {
    @Catch(OutOfStock)
    class Drop implements ExceptionFilter {
      catch(): unknown {
        return deciding[kind]?.();
      }
    }
    @Injectable()
    class Emails {
      @OnEvent('orders.order.placed')
      @UseFilters(Drop)
      send(): void {
        throw new OutOfStock();
      }
    }
    const app = await start({ providers: [Emails] });
    await app.bus.publish('orders.order.placed', null);
    expect(await app.saw('dropped')).toMatchObject([{ reason: 'known problem' }]);
    expect(app.of('retried')).toEqual([]);
  });

  test('outcome.ack() of a filter acknowledges, outcome.retry() tries again, outcome.deadLetter() parks at once', async () => {
    @Catch()
    class Decide implements ExceptionFilter {
      catch(error: Error, host: ArgumentsHost): unknown {
        const { attempt } = host.getArgByIndex<Attempt>(2);
        if (error.message === 'ack') return outcome.ack();
        if (error.message === 'retry' && attempt < 7) return outcome.retry(error, { afterMs: 1 });
        return outcome.deadLetter(error);
      }
    }
    @Injectable()
    class Emails {
      @OnEvent('orders.order.placed', { id: 'emails' })
      @UseFilters(Decide)
      send(message: string): void {
        throw new Error(message);
      }
    }
    const app = await start({ providers: [Emails] });
    for (const message of ['ack', 'retry', 'park']) await app.bus.publish('orders.order.placed', message, { key: 'k' });
    await app.saw('dead-lettered', 2);
    expect(app.of('handled')).toHaveLength(1);
    expect(app.of('retried')).toHaveLength(6);
    expect((await app.deadLetters('emails')).map(({ attempts }) => attempts)).toEqual([7, 1]);
  });

  test('a filter for another error is not asked', async () => {
    let asked = 0;
    @Catch(TypeError)
    class Other implements ExceptionFilter {
      catch(): unknown {
        asked++;
        return outcome.ack();
      }
    }
    @Injectable()
    class Emails {
      @OnEvent('orders.order.placed')
      @UseFilters(Other)
      send(): void {
        throw new OutOfStock();
      }
    }
    const app = await start({ providers: [Emails] });
    await app.bus.publish('orders.order.placed', null);
    await app.saw('dead-lettered');
    expect(asked).toBe(0);
  });
});

test('DeadLetterFilter and IdempotencyInterceptor applied by hand as well change nothing', async () => {
  let runs = 0;
  @Injectable()
  @UseFilters(DeadLetterFilter)
  @UseInterceptors(IdempotencyInterceptor)
  class Emails {
    @OnEvent('orders.order.placed', { id: 'emails' })
    send(order: { bad: boolean }): void {
      runs++;
      if (order.bad) throw new OutOfStock();
    }
  }
  const app = await start({ providers: [Emails], options: { idempotency: memoryIdempotency() } });
  await app.bus.publish('orders.order.placed', { bad: false }, { id: 'one' });
  await app.saw('handled');
  await app.bus.publish('orders.order.placed', { bad: false }, { id: 'one' });
  await app.saw('duplicate');
  await app.bus.publish('orders.order.placed', { bad: true }, { id: 'two' });
  await app.saw('dead-lettered');
  expect(runs).toBe(1 + 4);
  expect(app.of('handled')).toHaveLength(1);
});

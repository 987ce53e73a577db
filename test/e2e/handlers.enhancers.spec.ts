import { describe, expect, test } from '@jest/globals';
import {
  Catch,
  Controller,
  Injectable,
  UseFilters,
  UseGuards,
  UseInterceptors,
  UsePipes,
  type ArgumentsHost,
  type CallHandler,
  type CanActivate,
  type ExceptionFilter,
  type ExecutionContext,
  type NestInterceptor,
  type PipeTransform,
} from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR, APP_PIPE } from '@nestjs/core';
import { EMPTY, catchError, delay, from, map, of, tap, throwError, timer, type Observable } from 'rxjs';
import {
  DeadLetterFilter,
  IdempotencyInterceptor,
  OnEvent,
  Payload,
  isEventsContext,
  memoryIdempotency,
  outcome,
  type Attempt,
} from '../../lib/index.js';
import { eventually } from '../support/eventually.js';
import { useApps } from '../support/nest-app.js';

const start = useApps();
class OutOfStock extends Error {
  override readonly name = 'OutOfStock';
}

describe('guards', () => {
  test('an event that a guard denies is a dead letter at once; the handler never runs', async () => {
    let runs = 0;
    class Deny implements CanActivate {
      canActivate(context: ExecutionContext): boolean {
        const attempt = context.getArgByIndex<Attempt>(2);
        return !(isEventsContext(context) && attempt.envelope.name.endsWith('.placed'));
      }
    }
    @Injectable()
    @UseGuards(Deny)
    class Emails {
      @OnEvent('orders.order.*', { id: 'emails' })
      send(): void {
        runs++;
      }
    }
    const app = await start({ providers: [Emails] });
    await app.bus.publish('orders.order.placed', null);
    await app.saw('dead-lettered');
    await app.bus.publish('orders.order.paid', null);
    await app.saw('handled');
    expect(runs).toBe(1);
    const [letter] = await app.deadLetters('emails');
    expect(letter).toMatchObject({ attempts: 1, error: { code: 'ForbiddenException' } });
  });

  test('they run before interceptors, pipes and the handler, on every attempt', async () => {
    const steps: string[] = [];
    class Guard implements CanActivate {
      canActivate(): Promise<boolean> {
        steps.push('guard');
        return Promise.resolve(true);
      }
    }
    class Outer implements NestInterceptor {
      intercept(_: ExecutionContext, next: CallHandler): Observable<unknown> {
        steps.push('class interceptor');
        return next.handle();
      }
    }
    class Inner implements NestInterceptor {
      async intercept(_: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
        steps.push('method interceptor');
        return next.handle().pipe(tap(() => steps.push('after')));
      }
    }
    class Pipe implements PipeTransform {
      transform(value: unknown): unknown {
        steps.push('pipe');
        return value;
      }
    }
    @Injectable()
    @UseGuards(Guard)
    @UseInterceptors(Outer)
    class Emails {
      @OnEvent('orders.order.placed')
      @UseInterceptors(Inner)
      @UsePipes(Pipe)
      send(@Payload() _order: unknown): void {
        steps.push('handler');
        if (steps.length < 6) throw new OutOfStock();
      }
    }
    const app = await start({ providers: [Emails] });
    await app.bus.publish('orders.order.placed', null);
    await app.saw('handled');
    const attempt = ['guard', 'class interceptor', 'method interceptor', 'pipe', 'handler'];
    expect(steps).toEqual([...attempt, ...attempt, 'after']);
  });
});

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

test('on a controller they all work as on a provider', async () => {
  const steps: string[] = [];
  @Injectable()
  class Words {
    readonly prefix = 'injected';
  }
  @Injectable()
  class Guard implements CanActivate {
    constructor(private readonly words: Words) {}
    canActivate(): boolean {
      steps.push(`${this.words.prefix} guard`);
      return true;
    }
  }
  @Injectable()
  class Interceptor implements NestInterceptor {
    constructor(private readonly words: Words) {}
    intercept(_: ExecutionContext, next: CallHandler): Observable<unknown> {
      steps.push(`${this.words.prefix} interceptor`);
      return next.handle();
    }
  }
  @Injectable()
  class Pipe implements PipeTransform {
    constructor(private readonly words: Words) {}
    transform(value: unknown): unknown {
      steps.push(`${this.words.prefix} pipe`);
      return value;
    }
  }
  @Catch()
  class Filter implements ExceptionFilter {
    constructor(private readonly words: Words) {}
    catch(): unknown {
      steps.push(`${this.words.prefix} filter`);
      return outcome.drop('by the filter');
    }
  }
  @Controller()
  @UseGuards(Guard)
  @UseFilters(Filter)
  class Emails {
    @OnEvent('orders.order.placed')
    @UseInterceptors(Interceptor)
    send(@Payload(Pipe) _order: unknown): void {
      throw new OutOfStock();
    }
  }
  const app = await start({ controllers: [Emails], providers: [Words] });
  await app.bus.publish('orders.order.placed', null);
  await eventually(() => app.of('dropped').length + app.of('dead-lettered').length === 1);
  expect(steps).toEqual(['injected guard', 'injected interceptor', 'injected pipe', 'injected filter']);
});

describe('global enhancers', () => {
  const appWide = (steps: string[]): { provide: symbol | string; useValue: unknown }[] => {
    const onlyEvents = (host: ExecutionContext | ArgumentsHost): string =>
      isEventsContext(host) ? '' : ' outside events';
    return [
      {
        provide: APP_GUARD,
        useValue: { canActivate: (context: ExecutionContext) => steps.push(`guard${onlyEvents(context)}`) > 0 },
      },
      {
        provide: APP_INTERCEPTOR,
        useValue: { intercept: (_: unknown, next: CallHandler) => (steps.push('interceptor'), next.handle()) },
      },
      { provide: APP_PIPE, useValue: { transform: (value: unknown) => (steps.push('pipe'), value) } },
      {
        provide: APP_FILTER,
        useValue: Object.assign(Object.create(new AckFilter(steps)) as AckFilter, {}),
      },
    ];
  };
  @Catch()
  class AckFilter implements ExceptionFilter {
    constructor(private readonly steps: string[]) {}
    catch(): unknown {
      this.steps.push('filter');
      return outcome.drop('by the global filter');
    }
  }
  @Injectable()
  class Emails {
    @OnEvent('orders.order.placed')
    send(@Payload() _order: unknown): void {
      throw new OutOfStock();
    }
  }

  test('they do not apply to handlers by default', async () => {
    const steps: string[] = [];
    const app = await start({ providers: [Emails, ...appWide(steps)] });
    await app.bus.publish('orders.order.placed', null);
    await app.saw('dead-lettered');
    expect(steps).toEqual([]);
  });

  test('they apply with inheritAppConfig: true', async () => {
    const steps: string[] = [];
    const app = await start({ providers: [Emails, ...appWide(steps)], options: { inheritAppConfig: true } });
    await app.bus.publish('orders.order.placed', null);
    await app.saw('dropped');
    expect(steps).toEqual(['guard', 'interceptor', 'pipe', 'filter']);
  });
});

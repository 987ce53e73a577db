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
import { tap, type Observable } from 'rxjs';
import { OnEvent, Payload, isEventsContext, outcome, type Attempt } from '../../lib/index.js';
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

import { expect, test } from '@jest/globals';
import {
  ForbiddenException,
  Inject,
  Injectable,
  Scope,
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
import { REQUEST } from '@nestjs/core';
import { Ctx, Payload as MicroservicePayload } from '@nestjs/microservices';
import { map, type Observable } from 'rxjs';
import {
  BatchError,
  EventAttempt,
  EventBus,
  EventEnvelope,
  IdempotencyInterceptor,
  MemoryBroker,
  OnEvent,
  OnEvents,
  Payload,
  isEventsContext,
  memory,
  memoryIdempotency,
  outcome,
  type BatchAttempt,
  type Envelope,
  type OnEventsOptions,
} from '../../lib/index.js';
import { Gate, eventually } from '../support/eventually.js';
import { useApps, type TestApp } from '../support/nest-app.js';

const start = useApps();

/** A batch of exactly so many. */
const of = (size: number): { batch: { size: number; waitMs: number } } => ({ batch: { size, waitMs: 60_000 } });

async function publish(
  app: TestApp,
  count: number,
  data: (n: number) => unknown = (n) => ({ n }),
): Promise<Envelope[]> {
  return app.bus.publishAll(
    Array.from({ length: count }, (_, n) => ({ name: 'analytics.page.viewed', data: data(n), key: `key-${n}` })),
  );
}

test('a handler without parameter decorators gets the envelopes', async () => {
  const calls: unknown[][] = [];
  @Injectable()
  class Views {
    @OnEvents('analytics.page.viewed', of(3))
    add(...args: unknown[]): void {
      calls.push(args);
    }
  }
  const app = await start({ providers: [Views] });

  const published = await publish(app, 3);

  expect(await app.saw('handled', 3)).toMatchObject(
    published.map(({ id }) => ({ id, handler: 'Views.add', attempt: 1 })),
  );
  expect(calls).toHaveLength(1);
  expect(calls[0]?.[0]).toMatchObject(published.map(({ id, key, data }) => ({ id, key, data })));
  expect(app.logger.messages('log')).toContainEqual(
    expect.stringMatching(/^shop\.Views\.add handles analytics\.page\.viewed from memory in batches of up to 3$/),
  );
});

test('parameter decorators, also those of @nestjs/microservices, give lists; pipes run on them', async () => {
  class Doubled implements PipeTransform {
    transform(values: number[]): number[] {
      return values.map((value) => value * 2);
    }
  }
  const calls: unknown[] = [];
  @Injectable()
  class Views {
    @OnEvents('analytics.page.viewed', of(2))
    add(
      @EventAttempt() attempt: BatchAttempt,
      @Payload() pages: unknown[],
      @Payload('n', Doubled) numbers: number[],
      @Payload('constructor') inherited: unknown[],
      @EventEnvelope() envelopes: Envelope[],
      @MicroservicePayload('n') again: number[],
      @Ctx() context: BatchAttempt,
    ): void {
      calls.push({ pages, numbers, inherited, ids: envelopes.map(({ id }) => id), again });
      expect(context).toBe(attempt);
      expect(attempt.deliveries).toHaveLength(2);
      expect(attempt.signal.aborted).toBe(false);
      expect(attempt.subscription).toMatchObject({ concurrency: 4, batch: { size: 2, waitMs: 60_000 } });
    }
  }
  const app = await start({ providers: [Views] });

  const published = await publish(app, 2);

  await app.saw('handled', 2);
  expect(calls).toEqual([
    {
      pages: [{ n: 0 }, { n: 1 }],
      numbers: [0, 2],
      inherited: [undefined, undefined],
      ids: published.map(({ id }) => id),
      again: [0, 1],
    },
  ]);
});

test('guards, interceptors, pipes and filters see the batch', async () => {
  const seen: unknown[] = [];
  @Injectable()
  class Guard implements CanActivate {
    canActivate(context: ExecutionContext): boolean {
      const [envelopes, same, attempt] = context.getArgs<[Envelope[], Envelope[], BatchAttempt]>();
      seen.push(isEventsContext(context), envelopes.length, envelopes === same, attempt.attempt);
      return true;
    }
  }
  class Counting implements NestInterceptor {
    intercept(_: ExecutionContext, next: CallHandler): Observable<unknown> {
      return next.handle().pipe(map((value) => seen.push(value)));
    }
  }
  class Dropping implements ExceptionFilter {
    catch(error: Error, host: ArgumentsHost): unknown {
      return outcome.drop(`${error.message} of ${host.getArgByIndex<Envelope[]>(0).length}`);
    }
  }
  @Injectable()
  @UseGuards(Guard)
  class Views {
    @UseInterceptors(Counting)
    @UsePipes({ transform: (value: unknown[]) => value.length })
    @OnEvents('analytics.page.viewed', of(2))
    add(@Payload() pages: unknown): string {
      return `handled ${String(pages)}`;
    }
    @UseFilters(Dropping)
    @OnEvents('analytics.page.left', of(2))
    remove(): void {
      throw new Error('no use');
    }
  }
  const app = await start({ providers: [Views] });

  await publish(app, 2);
  await app.saw('handled', 2);
  expect(seen).toEqual([true, 2, true, 1, 'handled 2']);
  for (const n of [0, 1]) await app.bus.publish('analytics.page.left', { n });
  const dropped = await app.saw('dropped', 2);
  expect(dropped.map(({ reason }) => reason)).toEqual(['no use of 2', 'no use of 2']);
});

test('a batch that a guard denies is split: those it denies are dead letters, the others are handled', async () => {
  @Injectable()
  class OfAcme implements CanActivate {
    canActivate(context: ExecutionContext): boolean {
      const [envelopes] = context.getArgs<[Envelope[]]>();
      if (envelopes.every(({ headers }) => headers['tenant'] === 'acme')) return true;
      throw new ForbiddenException('another tenant');
    }
  }
  @Injectable()
  class Views {
    @UseGuards(OfAcme)
    @OnEvents('analytics.page.viewed', { id: 'views', ...of(4) })
    add(): void {}
  }
  const app = await start({ providers: [Views] });

  for (const tenant of ['acme', 'evil', 'acme', 'acme']) {
    await app.bus.publish('analytics.page.viewed', null, { headers: { tenant } });
  }

  await app.saw('handled', 3);
  await app.saw('dead-lettered');
  expect(await app.deadLetters('views')).toMatchObject([{ attempts: 1, error: { message: 'another tenant' } }]);
});

test('a request-scoped handler has an instance for each batch; REQUEST is the batch', async () => {
  const made: unknown[] = [];
  @Injectable({ scope: Scope.REQUEST })
  class Views {
    constructor(@Inject(REQUEST) private readonly request: BatchAttempt) {
      made.push(request.envelopes.length);
    }
    @OnEvents('analytics.page.viewed', of(2))
    add(envelopes: Envelope[]): void {
      expect(this.request.envelopes).toBe(envelopes);
    }
  }
  const app = await start({ providers: [Views] });
  await publish(app, 4);
  await app.saw('handled', 4);
  expect(made).toEqual([2, 2]);
});

test('an event that comes by itself is a batch of one, after waitMs', async () => {
  const sizes: number[] = [];
  @Injectable()
  class Views {
    @OnEvents('analytics.page.viewed')
    add(envelopes: Envelope[]): void {
      sizes.push(envelopes.length);
    }
  }
  const app = await start({ providers: [Views] });
  await publish(app, 1);
  await app.saw('handled');
  expect(sizes).toEqual([1]);
});

test('a BatchError from a handler reaches the dead letters as the errors it holds', async () => {
  const sizes: number[] = [];
  @Injectable()
  class Views {
    @OnEvents('analytics.page.viewed', { id: 'views', ...of(5) })
    add(envelopes: Envelope<{ n: number }>[]): void {
      sizes.push(envelopes.length);
      const failures = envelopes.flatMap(({ data: { n } }, index) =>
        n === 2 ? [{ index, error: new RangeError(`page ${n} is unknown`) }] : [],
      );
      if (failures.length > 0) throw new BatchError(failures);
    }
  }
  const app = await start({ providers: [Views] });
  const published = await publish(app, 5);
  await app.saw('handled', 4);
  await app.saw('dead-lettered');
  expect(sizes).toEqual([5, 4, 1, 1, 1]);
  expect(await app.deadLetters('views')).toMatchObject([
    { eventId: published[2]?.id, attempts: 4, error: { code: 'RangeError', message: 'page 2 is unknown' } },
  ]);
});

test('with an idempotency store the handler gets the new ones only, and is not called when there are none', async () => {
  const calls: string[][] = [];
  @Injectable()
  class Views {
    @UseInterceptors(IdempotencyInterceptor)
    @OnEvents('analytics.page.viewed', of(3))
    add(@EventEnvelope() envelopes: Envelope[], @Payload() data: unknown[]): void {
      expect(data).toEqual(envelopes.map((envelope) => envelope.data));
      calls.push(envelopes.map(({ id }) => id));
    }
  }
  const app = await start({ providers: [Views], options: { idempotency: memoryIdempotency() } });

  for (const id of ['1', '2', '2', '2', '3', '1', '1', '2', '3'])
    await app.bus.publish('analytics.page.viewed', null, { id });

  await app.saw('handled', 3);
  await app.saw('duplicate', 6);
  expect(calls).toEqual([['1', '2'], ['3']]);
});

test('a handler that asks for another attempt leaves no trace in the store', async () => {
  let left = 1;
  const calls: number[] = [];
  const again = (): unknown => (left-- > 0 ? outcome.retry(new Error('not yet'), { afterMs: 1 }) : undefined);
  @Injectable()
  class Views {
    @OnEvents('analytics.page.viewed', of(2))
    add(envelopes: Envelope[]): unknown {
      calls.push(envelopes.length);
      return again();
    }
    @OnEvent('analytics.page.left')
    remove(): unknown {
      calls.push(0);
      return again();
    }
  }
  const app = await start({ providers: [Views], options: { idempotency: memoryIdempotency() } });
  await publish(app, 2);
  await app.saw('handled', 2);
  expect(calls).toEqual([2, 1, 1]);
  left = 1;
  await app.bus.publish('analytics.page.left', null);
  await app.saw('handled', 3);
  expect(calls).toEqual([2, 1, 1, 0, 0]);
  expect(app.of('duplicate')).toEqual([]);
});

test('what a batch handler publishes has ids of its own and no single cause', async () => {
  @Injectable()
  class Views {
    constructor(private readonly bus: EventBus) {}
    @OnEvents('analytics.page.viewed', of(2))
    async add(): Promise<void> {
      const { causationId, correlationId, id } = await this.bus.publish('analytics.report.due', null);
      expect([causationId, correlationId]).toEqual([undefined, id]);
    }
  }
  const app = await start({ providers: [Views] });
  await publish(app, 2);
  await app.saw('handled', 2);
  expect(app.of('published')).toHaveLength(3);
});

test('closing waits for the batch that runs; what it has settled does not come again, and nothing is lost', async () => {
  const broker = new MemoryBroker();
  const gate = new Gate();
  const seen: number[] = [];
  let started = 0;
  @Injectable()
  class Views {
    @OnEvents('analytics.page.viewed', { id: 'views', concurrency: 1, batch: { size: 4, waitMs: 10 } })
    async add(@Payload('n') numbers: number[]): Promise<void> {
      started++;
      await gate.passed;
      seen.push(...numbers);
    }
  }
  const options = { transports: [memory({ broker })] };
  const app = await start({ providers: [Views], options });
  await publish(app, 10);
  await eventually(() => started === 1);

  let closed = false;
  const closing = app.close().then(() => (closed = true));
  await new Promise((resolve) => setImmediate(resolve));
  expect(closed).toBe(false);
  gate.open();
  await closing;

  expect(seen).toEqual([0, 1, 2, 3]);
  const next = await start({ providers: [Views], options });
  await next.saw('handled', 6);
  expect(seen.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test('decorators of both kinds with one id exclude each other', async () => {
  @Injectable()
  class Views {
    @OnEvent('analytics.page.left')
    @OnEvents('analytics.page.viewed')
    add(): void {}
  }
  await expect(start({ providers: [Views] })).rejects.toMatchObject({
    code: 'EVENTS_HANDLER_INVALID',
    handler: 'Views.add',
    message: expect.stringContaining('@OnEvent and @OnEvents with one id exclude each other'),
  });
});

test.each<[string, OnEventsOptions]>([
  ['its batch.size is not a whole number from 1 to 10000', { batch: { size: 0 } }],
  ['its batch.size is not a whole number from 1 to 10000', { batch: { size: 10_001 } }],
  ['its batch.size is not a whole number from 1 to 10000', { batch: { size: '5' as never } }],
  ['its batch.waitMs is not a whole number from 0 to 60000', { batch: { waitMs: 1.5 } }],
  ['its batch has no option "max"', { batch: { max: 5 } as never }],
  ['its batch is not { size, waitMs }', { batch: 5 as never }],
  ['its concurrency is not a whole number above 0', { concurrency: 0 }],
])('is refused at start when %s', async (problem, options) => {
  @Injectable()
  class Views {
    @OnEvents('analytics.page.viewed', options)
    add(): void {}
  }
  await expect(start({ providers: [Views] })).rejects.toMatchObject({
    code: 'EVENTS_HANDLER_INVALID',
    message: expect.stringContaining(problem),
  });
});

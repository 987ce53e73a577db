import { describe, expect, test } from '@jest/globals';
import {
  Inject,
  Injectable,
  ParseUUIDPipe,
  Scope,
  UseGuards,
  UseInterceptors,
  type CallHandler,
  type CanActivate,
} from '@nestjs/common';
import { tap } from 'rxjs';
import {
  EventEnvelope,
  EventsModule,
  memory,
  MemoryBroker,
  OnDeadLetter,
  OnEvent,
  Payload,
  type DeadLetter,
  type Envelope,
} from '../../lib/index.js';
import { eventually } from '../support/eventually.js';
import { useApps } from '../support/nest-app.js';

const NAME = 'orders.order.placed';
const start = useApps();

@Injectable()
class Mails {
  @OnEvent('orders.#', { id: 'mails', retry: { attempts: 1 }, concurrency: 1 })
  send() {
    throw new Error('no mail');
  }
}

describe('@OnDeadLetter', () => {
  test('is told of the dead letters of its group that match, before the event is acknowledged', async () => {
    const calls: unknown[][] = [];
    @Injectable()
    class Alarms {
      @OnDeadLetter('orders.*.placed')
      plain(...args: unknown[]) {
        calls.push(['plain', ...args]);
      }
      @OnDeadLetter(['orders.order.shipped', '#'])
      async decorated(
        @EventEnvelope() envelope: Envelope | undefined,
        @Payload() letter: DeadLetter,
        @Payload('id', ParseUUIDPipe) id: string,
      ) {
        calls.push(['decorated', letter, envelope]);
        expect(id).toBe(letter.id);
      }
      @OnDeadLetter('#', { group: 'analytics' })
      elsewhere() {
        calls.push(['elsewhere']);
      }
    }
    const app = await start({ providers: [Mails, Alarms] });
    await app.bus.publish(NAME, { total: 1 }, { id: 'one' });
    await app.saw('dead-lettered');
    expect(calls).toHaveLength(2);
    const letter = expect.objectContaining({
      handler: 'mails',
      eventId: 'one',
      error: expect.objectContaining({ message: 'no mail' }),
    });
    const envelope = expect.objectContaining({ id: 'one', data: { total: 1 } });
    expect(calls[0]?.slice(0, 3)).toEqual(['plain', letter, envelope]);
    expect(calls[1]).toEqual(['decorated', letter, envelope]);
    expect(await app.deadLetters('mails')).toHaveLength(1);
    expect(app.logger.messages('warn').filter((line) => line.includes('"analytics"'))).toHaveLength(1);
    await app.bus.publish('orders.order.cancelled', {});
    await app.saw('dead-lettered', 2);
    expect(calls.map(([method]) => method)).toEqual(['plain', 'decorated', 'decorated']);
  });

  test('one that cannot be decoded has no envelope, and matches # alone', async () => {
    const calls: unknown[][] = [];
    @Injectable()
    class Alarms {
      @OnDeadLetter('orders.#')
      named(letter: DeadLetter, envelope: Envelope | undefined) {
        calls.push(['named', letter.event, envelope]);
      }
      @OnDeadLetter('#')
      all(letter: DeadLetter, envelope: Envelope | undefined) {
        calls.push(['all', letter.event, envelope]);
      }
    }
    const broker = new MemoryBroker();
    const app = await start({ providers: [Mails, Alarms], options: { transports: [memory({ broker })] } });
    const headers = { 'content-type': 'application/json' };
    broker.publish({ name: NAME, key: undefined, headers, body: Buffer.from('{') });
    await app.saw('dead-lettered');
    expect(calls).toEqual([['all', undefined, undefined]]);
  });

  test('runs through guards, interceptors and request scope as handlers do', async () => {
    const seen: string[] = [];
    @Injectable()
    class Guard implements CanActivate {
      canActivate() {
        seen.push('guard');
        return true;
      }
    }
    @Injectable()
    class Interceptor {
      intercept(_: unknown, next: CallHandler) {
        return next.handle().pipe(tap(() => seen.push('interceptor')));
      }
    }
    @Injectable({ scope: Scope.REQUEST })
    class Ticket {
      readonly number = Math.random();
    }
    const tickets = new Set<number>();
    @Injectable()
    @UseInterceptors(Interceptor)
    class Alarms {
      constructor(@Inject(Ticket) private readonly ticket: Ticket) {}
      @UseGuards(Guard)
      @OnDeadLetter('#')
      tell() {
        seen.push('method');
        tickets.add(this.ticket.number);
      }
    }
    const app = await start({ providers: [Mails, Alarms, Ticket] });
    await app.bus.publish(NAME, {});
    await app.bus.publish(NAME, {});
    await app.saw('dead-lettered', 2);
    expect(seen).toEqual(['guard', 'method', 'interceptor', 'guard', 'method', 'interceptor']);
    expect(tickets.size).toBe(2);
  });

  test('one that throws is tried four times while others go on, then reported; the event goes its way', async () => {
    let tries = 0;
    const told: (string | undefined)[] = [];
    @Injectable()
    class Alarms {
      @OnDeadLetter('#', { id: 'alarm' })
      tell(letter: DeadLetter) {
        if (letter.original.key?.toString() !== 'ann') return void told.push(letter.eventId);
        tries++;
        throw new Error('the pager is\noff');
      }
      @OnDeadLetter('#', { id: 'log' })
      other(letter: DeadLetter) {
        if (letter.eventId === 'one') told.push(letter.eventId);
      }
    }
    const app = await start({ providers: [Mails, Alarms] });
    await app.bus.publish(NAME, {}, { id: 'one', key: 'ann' });
    await eventually(() => tries === 1);
    await app.bus.publish(NAME, {}, { id: 'two', key: 'bob' });
    await app.saw('dead-letter-handler-failed');
    await app.saw('dead-lettered', 2);
    expect(tries).toBe(4);
    expect(told).toEqual(['two', 'one']);
    const [letter] = await app.deadLetters('mails');
    expect(app.of('dead-letter-handler-failed')).toMatchObject([{ handler: 'alarm', letter: letter?.id, id: 'one' }]);
    expect(app.logger.messages('error').filter((line) => line.includes('the pager is\\noff'))).toHaveLength(1);
    expect(await app.deadLetters('mails')).toHaveLength(2);
  });

  test('belongs to the group of its Nest module, and is not told again when a redrive fails', async () => {
    const told: string[] = [];
    @Injectable()
    class Alarms {
      @OnDeadLetter('#')
      tell({ id }: DeadLetter) {
        told.push(id);
      }
    }
    const feature = class {};
    const app = await start({
      imports: [{ module: feature, imports: [EventsModule.forFeature({ group: 'mail' })], providers: [Mails, Alarms] }],
    });
    await app.bus.publish(NAME, {});
    await app.saw('dead-lettered');
    const { id } = await app.operators.redrive({ group: 'mail' }, { by: 'ann' });
    await eventually(async () => (await app.operators.redriveOf(id)).state === 'done');
    expect(await app.operators.redriveOf(id)).toMatchObject({ failed: 1 });
    expect(told).toHaveLength(1);
  });

  test('a pattern or id that cannot be used is refused at start', async () => {
    for (const [pattern, id, code] of [
      ['a..b', undefined, 'EVENTS_PATTERN_INVALID'],
      ['#', 'not an id', 'EVENTS_HANDLER_INVALID'],
    ] as const) {
      @Injectable()
      class Alarms {
        @OnDeadLetter(pattern, id === undefined ? {} : { id })
        tell() {
          return undefined;
        }
      }
      await expect(start({ providers: [Alarms] })).rejects.toMatchObject({ code });
    }
  });
});

import { describe, expect, test } from '@jest/globals';
import { Controller, Injectable, Scope, UseInterceptors, type CallHandler, type NestInterceptor } from '@nestjs/common';
import {
  EventEnvelope,
  IdempotencyKey,
  memoryIdempotency,
  OnEvent,
  Payload,
  type Envelope,
  type IdempotencyDefinition,
  type IdempotencyStore,
} from '../../lib/index.js';
import { typeormIdempotency } from '../../lib/typeorm.js';
import { withBroker } from '../support/brokers.js';
import { eventually } from '../support/eventually.js';
import { useApps } from '../support/nest-app.js';
import { TypeormWorld } from '../support/typeorm-world.js';

interface Order {
  readonly orderId: string;
}
const byOrder = (event: Envelope<Order>): string => event.data.orderId;

const start = useApps();
const runs = new Map<string, string[]>();
const ran = (handler: string, id: string): void => void runs.set(handler, [...(runs.get(handler) ?? []), id]);

/** A store that tells what it is asked. */
function recording(keys: string[]): IdempotencyDefinition {
  const inner = memoryIdempotency();
  return {
    create(environment): IdempotencyStore {
      const store = inner.create(environment);
      return {
        prepare: () => store.prepare(),
        once: (key, effect) => (keys.push(key.eventId), store.once(key, effect)),
        onceAll: (all, effect) => (keys.push(...all.map(({ eventId }) => eventId)), store.onceAll(all, effect)),
      };
    },
  };
}

class Passing implements NestInterceptor {
  intercept(_: unknown, next: CallHandler): ReturnType<CallHandler['handle']> {
    return next.handle();
  }
}

abstract class PerOrder {
  @IdempotencyKey(byOrder)
  @OnEvent('orders.order.placed', { id: 'inherited' })
  handle(_: Order, envelope: Envelope): void {
    ran('inherited', envelope.id);
  }
}

@Injectable()
class Inherits extends PerOrder {}

@Injectable()
class Beside {
  @OnEvent('orders.order.placed', { id: 'below' })
  @IdempotencyKey(byOrder)
  below(_: Order, envelope: Envelope): void {
    ran('below', envelope.id);
  }

  @IdempotencyKey(byOrder)
  @OnEvent('orders.order.placed', { id: 'twice-a' })
  @OnEvent('orders.order.changed', { id: 'twice-b' })
  @UseInterceptors(new Passing())
  twice(@Payload('orderId') orderId: string, @EventEnvelope() envelope: Envelope): void {
    ran('twice', `${envelope.id} ${orderId}`);
  }

  @OnEvent('orders.order.placed', { id: 'by-id' })
  byId(_: Order, envelope: Envelope): void {
    ran('by-id', envelope.id);
  }
}

@Controller()
class OnController {
  @IdempotencyKey(byOrder)
  @OnEvent('orders.order.placed', { id: 'controller' })
  handle(_: Order, envelope: Envelope): void {
    ran('controller', envelope.id);
  }
}

@Injectable({ scope: Scope.REQUEST })
class PerRequest {
  @IdempotencyKey(byOrder)
  @OnEvent('orders.order.placed', { id: 'per-request' })
  handle(_: Order, envelope: Envelope): void {
    ran('per-request', envelope.id);
  }
}

@Injectable()
class Strict {
  @IdempotencyKey((event: Envelope<Order>) => {
    if (event.data.orderId === 'none') throw new Error('there is no order');
    return event.data.orderId;
  })
  @OnEvent('orders.order.placed', { id: 'strict' })
  handle(_: Order, envelope: Envelope): void {
    ran('strict', envelope.id);
  }
}

describe('@IdempotencyKey', () => {
  test('two events of one key are one effect: beside @OnEvent, inherited, on controllers, per request', async () => {
    runs.clear();
    const app = await start({
      options: { idempotency: memoryIdempotency() },
      providers: [Inherits, Beside, PerRequest],
      controllers: [OnController],
    });
    await app.bus.publish('orders.order.placed', { orderId: 'o-1' }, { id: 'one', key: 'k' });
    await app.bus.publish('orders.order.placed', { orderId: 'o-1' }, { id: 'two', key: 'k' });
    await app.bus.publish('orders.order.changed', { orderId: 'o-1' }, { id: 'three', key: 'k' });
    await eventually(() => app.of('handled').length + app.of('duplicate').length === 13);
    expect(Object.fromEntries(runs)).toEqual({
      inherited: ['one'],
      below: ['one'],
      twice: ['one o-1', 'three o-1'],
      'by-id': ['one', 'two'],
      controller: ['one'],
      'per-request': ['one'],
    });
  });

  test('a key never is an event’s id', async () => {
    runs.clear();
    const keys: string[] = [];
    const app = await start({ options: { idempotency: recording(keys) }, providers: [Beside] });
    await app.bus.publish('orders.order.placed', { orderId: 'same' }, { id: 'same', key: 'k' });
    await app.bus.publish('orders.order.placed', { orderId: 'other' }, { id: 'key=same', key: 'k' });
    await app.saw('handled', 6);
    expect([...new Set(keys)].toSorted()).toEqual(['id=key=same', 'key=other', 'key=same', 'same']);
    expect(app.of('duplicate')).toEqual([]);
  });

  test.each([
    ['throws', { orderId: 'none' }, 'there is no order'],
    ['finds nothing', {}, 'returned undefined'],
    ['finds a number', { orderId: 7 }, 'a value of type number'],
  ])('a function that %s makes a dead letter at once, and the next event goes on', async (_, data, problem) => {
    runs.clear();
    const app = await start({ options: { idempotency: memoryIdempotency() }, providers: [Strict] });
    await app.bus.publish('orders.order.placed', data, { id: 'bad', key: 'k' });
    await app.bus.publish('orders.order.placed', { orderId: 'o-1' }, { id: 'good', key: 'k' });
    await app.saw('handled');
    const [letter] = await app.deadLetters('strict');
    expect(letter).toMatchObject({ eventId: 'bad', attempts: 1, error: { code: 'EVENTS_IDEMPOTENCY_KEY_INVALID' } });
    expect(letter?.error.message).toContain(problem);
    expect(letter?.error.message).toMatch(/event "orders\.order\.placed", handler "strict"/);
    expect(Object.fromEntries(runs)).toEqual({ strict: ['good'] });
  });
});

withBroker('postgres', 'DATABASE_URL', (url) => {
  test('in the database the key stands where an id would, with a prefix that no id keeps', async () => {
    const world = await TypeormWorld.open(url);
    try {
      runs.clear();
      const idempotency = typeormIdempotency({ dataSource: world.dataSource, schema: world.schema });
      const app = await start({ options: { idempotency }, providers: [Strict] });
      await app.bus.publish('orders.order.placed', { orderId: 'o-1' }, { id: 'one', key: 'k' });
      await app.bus.publish('orders.order.placed', { orderId: 'o-1' }, { id: 'two', key: 'k' });
      await app.saw('duplicate');
      const rows = await world.rows(`SELECT consumer, event_id FROM ${world.schema}.processed_events`);
      expect(rows).toEqual([{ consumer: 'shop.strict', event_id: 'key=o-1' }]);
      await app.close();
    } finally {
      await world.close();
    }
  });
});

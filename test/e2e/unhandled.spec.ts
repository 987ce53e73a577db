import { expect, test } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { OnEvent, memory, type ConsumeRequest, type TransportDefinition } from '../../lib/index.js';
import { useApps } from '../support/nest-app.js';

const start = useApps();

@Injectable()
class Emails {
  @OnEvent('orders.order.placed')
  send(): void {}
}

/** The memory transport, which also hands over what no handler asked for, as a shared topic does. */
function sharedTopic(requests: ConsumeRequest[]): TransportDefinition {
  const inner = memory({ name: 'shared' });
  return {
    ...inner,
    create: (environment) => {
      const transport = inner.create(environment);
      const { consume } = transport;
      transport.consume = (request) => {
        requests.push(request);
        return consume.call(transport, request);
      };
      return transport;
    },
  };
}

test('a consumed event without a handler is counted each time and warned about once per name and group', async () => {
  const requests: ConsumeRequest[] = [];
  const app = await start({ providers: [Emails], options: { transports: [sharedTopic(requests)] } });
  const [request] = requests;
  const place = { transport: 'shared', address: 'orders.order', partition: 0, position: '7' };

  for (let n = 0; n < 3; n++) request?.unhandled('orders.order.cancelled', place);
  request?.unhandled('orders.order.\nforged line', place);

  expect(app.of('unhandled')).toHaveLength(4);
  expect(app.of('unhandled')[0]).toEqual({ type: 'unhandled', event: 'orders.order.cancelled', group: 'shop', place });
  expect(app.logger.messages('warn')).toEqual([
    'no handler of "shop" matches orders.order.cancelled; such events are counted and settled',
    'no handler of "shop" matches orders.order.\\nforged line; such events are counted and settled',
  ]);
});

test('an event that reaches no queue is reported as unroutable, and publishing succeeds', async () => {
  const app = await start({ providers: [Emails] });
  const { id } = await app.bus.publish('orders.order.cancelled', null);
  expect(app.of('unroutable')).toEqual([
    { type: 'unroutable', event: 'orders.order.cancelled', id, transport: 'memory' },
  ]);
  expect(app.of('published')).toHaveLength(1);
});

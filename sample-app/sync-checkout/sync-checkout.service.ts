import { BadGatewayException, Injectable, ServiceUnavailableException } from '@nestjs/common';
import type { CheckoutRequest } from '../orders/checkout.request.js';
import { OrderProgress } from '../orders/order-progress.js';
import { OrdersService } from '../orders/orders.service.js';
import type { OrderPlaced } from '../shop.events.js';
import { SERVICES, type Service } from '../simulation/service.js';
import { ConnectionRefused } from '../simulation/simulation.js';
import { DirectCalls } from './direct-calls.js';

/** What events replace: each call waits for the one before, and the slowest or sickest service decides for all. */
@Injectable()
export class SyncCheckoutService {
  constructor(
    private readonly orders: OrdersService,
    private readonly progress: OrderProgress,
    private readonly calls: DirectCalls,
  ) {}

  async checkout(request: CheckoutRequest): Promise<OrderPlaced> {
    const order = await this.orders.save(request, 'sync');
    for (const service of SERVICES) await this.#step(service, order);
    await this.orders.complete(order);
    return order;
  }

  async #step(service: Service, order: OrderPlaced): Promise<void> {
    const startedAt = new Date();
    try {
      await this.calls.to(service, order);
    } catch (error) {
      // What the services before have done stays done: paid, and yet the checkout fails.
      const reason = error instanceof Error ? error.message : String(error);
      await this.progress.failed(order.orderId, service, { error: reason, startedAt });
      await this.orders.fail(order.orderId);
      throw checkoutFailed({
        service,
        orderId: order.orderId,
        reason,
        unreachable: error instanceof ConnectionRefused,
      });
    }
    await this.progress.done(order.orderId, service, { startedAt, doneAt: new Date() });
  }
}

interface Failure {
  readonly service: Service;
  readonly orderId: string;
  readonly reason: string;
  readonly unreachable: boolean;
}

function checkoutFailed({ service, orderId, reason, unreachable }: Failure): Error {
  const message = `the checkout failed because of ${service}: ${reason}`;
  return unreachable
    ? new ServiceUnavailableException({ statusCode: 503, error: 'Service Unavailable', message, service, orderId })
    : new BadGatewayException({ statusCode: 502, error: 'Bad Gateway', message, service, orderId });
}

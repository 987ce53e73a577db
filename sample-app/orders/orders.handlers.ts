import { Injectable } from '@nestjs/common';
import { EventBus, EventEnvelope, OnEvent, Payload, type Envelope } from 'nestjs-events';
import type { OrderCompleted, PaymentCaptured, StepDone } from '../shop.events.js';
import type { Service } from '../simulation/service.js';
import { OrderProgress } from './order-progress.js';
import { OrdersService } from './orders.service.js';

const STEP_OF: Readonly<Record<string, Service>> = {
  'inventory.stock.reserved': 'inventory',
  'payments.payment.captured': 'payment',
  'emails.email.sent': 'email',
  'analytics.order.tracked': 'analytics',
};

@Injectable()
export class OrdersHandlers {
  constructor(
    private readonly orders: OrdersService,
    private readonly progress: OrderProgress,
    private readonly eventBus: EventBus,
  ) {}

  /** Paid is complete: an order waits for no mail and no statistics. */
  @OnEvent('payments.payment.captured', { id: 'complete-order' })
  async complete(@Payload() { orderId, userId, totalCents }: PaymentCaptured): Promise<void> {
    await this.orders.complete({ orderId });
    const completed: OrderCompleted = { orderId, userId, totalCents };
    await this.eventBus.publish('orders.order.completed', completed, { key: userId });
  }

  @OnEvent(Object.keys(STEP_OF), { id: 'order-progress' })
  async note(@Payload() step: StepDone, @EventEnvelope() { name, time }: Envelope): Promise<void> {
    const service = STEP_OF[name];
    if (service === undefined) return;
    await this.progress.done(step.orderId, service, { startedAt: new Date(step.startedAt), doneAt: new Date(time) });
  }
}

import { Injectable } from '@nestjs/common';
import { EventBus, OnEvent, Payload } from 'nestjs-events';
import type { EmailSent, OrderPlaced } from '../shop.events.js';
import { EmailService } from './email.service.js';

@Injectable()
export class EmailHandlers {
  constructor(
    private readonly email: EmailService,
    private readonly eventBus: EventBus,
  ) {}

  @OnEvent('orders.order.placed', { id: 'confirmation-email' })
  async confirm(@Payload() order: OrderPlaced): Promise<void> {
    const startedAt = new Date().toISOString();
    await this.email.sendConfirmation(order);
    const sent: EmailSent = { orderId: order.orderId, userId: order.userId, startedAt };
    await this.eventBus.publish('emails.email.sent', sent, { key: order.userId });
  }
}

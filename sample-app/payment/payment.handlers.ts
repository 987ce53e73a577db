import { Injectable } from '@nestjs/common';
import { EventBus, OnEvent, Payload } from 'nestjs-events';
import type { PaymentCaptured, StockReserved } from '../shop.events.js';
import { PaymentService } from './payment.service.js';

@Injectable()
export class PaymentHandlers {
  constructor(
    private readonly payment: PaymentService,
    private readonly eventBus: EventBus,
  ) {}

  @OnEvent('inventory.stock.reserved', { id: 'capture-payment' })
  async capture(@Payload() { orderId, userId, totalCents }: StockReserved): Promise<void> {
    const startedAt = new Date().toISOString();
    await this.payment.capture({ orderId, totalCents });
    const captured: PaymentCaptured = { orderId, userId, totalCents, startedAt };
    await this.eventBus.publish('payments.payment.captured', captured, { key: userId });
  }
}

import { Injectable } from '@nestjs/common';
import { EventBus, OnEvent, Payload } from 'nestjs-events';
import type { OrderPlaced, StockReserved } from '../shop.events.js';
import { InventoryService } from './inventory.service.js';

@Injectable()
export class InventoryHandlers {
  constructor(
    private readonly inventory: InventoryService,
    private readonly eventBus: EventBus,
  ) {}

  /** The reservation and the event commit together: idempotency and outbox are configured, nothing else is needed here. */
  @OnEvent('orders.order.placed', { id: 'reserve-stock' })
  async reserve(@Payload() order: OrderPlaced): Promise<void> {
    const { orderId, userId, totalCents } = order;
    const startedAt = new Date().toISOString();
    await this.inventory.reserve(order);
    const reserved: StockReserved = { orderId, userId, totalCents, startedAt };
    await this.eventBus.publish('inventory.stock.reserved', reserved, { key: userId });
  }
}

import { Injectable } from '@nestjs/common';
import { EventBus, OnEvent, Payload } from 'nestjs-events';
import type { OrderCompleted, OrderTracked } from '../shop.events.js';
import { AnalyticsService } from './analytics.service.js';

@Injectable()
export class AnalyticsHandlers {
  constructor(
    private readonly analytics: AnalyticsService,
    private readonly eventBus: EventBus,
  ) {}

  @OnEvent('orders.order.completed', { id: 'track-order' })
  async track(@Payload() order: OrderCompleted): Promise<void> {
    const startedAt = new Date().toISOString();
    await this.analytics.track(order);
    const tracked: OrderTracked = { orderId: order.orderId, userId: order.userId, startedAt };
    await this.eventBus.publish('analytics.order.tracked', tracked, { key: order.userId });
  }
}

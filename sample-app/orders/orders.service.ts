import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { EventBus } from 'nestjs-events';
import { Not, Repository } from 'typeorm';
import type { OrderCompleted, OrderPlaced } from '../shop.events.js';
import { totalCents, type CheckoutRequest } from './checkout.request.js';
import { Order, type Way } from './order.entity.js';

@Injectable()
export class OrdersService {
  constructor(
    @InjectRepository(Order) private readonly orders: Repository<Order>,
    private readonly eventBus: EventBus,
  ) {}

  /** Saves the order and tells the others. Both or neither: a crash in between leaves no order nobody works on. */
  async place(request: CheckoutRequest): Promise<OrderPlaced> {
    return this.eventBus.transactional(async () => {
      const order = await this.save(request, 'events');
      await this.eventBus.publish('orders.order.placed', order, { key: order.userId });
      return order;
    });
  }

  async save(request: CheckoutRequest, way: Way): Promise<OrderPlaced> {
    const { userId, items } = request;
    const order = { orderId: randomUUID(), userId, items, totalCents: totalCents(request) };
    const { orderId: id, ...columns } = order;
    await this.orders.insert({ id, ...columns, way, status: 'placed' });
    return order;
  }

  /** Also one that had failed: its dead letter may have been repaired and handled after all. */
  async complete({ orderId }: Pick<OrderCompleted, 'orderId'>): Promise<void> {
    await this.orders.update({ id: orderId }, { status: 'completed', completedAt: new Date() });
  }

  async fail(orderId: string): Promise<void> {
    await this.orders.update({ id: orderId, status: Not('completed') }, { status: 'failed' });
  }
}

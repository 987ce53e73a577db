import { Body, Controller, Get, HttpCode, NotFoundException, Param, ParseUUIDPipe, Post } from '@nestjs/common';
import { ZodPipe } from '../http/zod.pipe.js';
import { checkoutRequest, type CheckoutRequest } from './checkout.request.js';
import { OrderProgress, type OrderView } from './order-progress.js';
import { OrdersService } from './orders.service.js';

const LATEST = 20;
const noSuchOrder = (): NotFoundException => new NotFoundException('there is no such order');

@Controller()
export class OrdersController {
  constructor(
    private readonly orders: OrdersService,
    private readonly progress: OrderProgress,
  ) {}

  /** 202: accepted. The rest happens behind the customer's back. */
  @Post('checkout')
  @HttpCode(202)
  async checkout(
    @Body(new ZodPipe(checkoutRequest)) request: CheckoutRequest,
  ): Promise<{ orderId: string; tookMs: number }> {
    const startedAt = performance.now();
    const { orderId } = await this.orders.place(request);
    return { orderId, tookMs: Math.round(performance.now() - startedAt) };
  }

  @Get('orders')
  async latest(): Promise<OrderView[]> {
    return this.progress.latest(LATEST);
  }

  @Get('orders/:id')
  async find(@Param('id', new ParseUUIDPipe({ exceptionFactory: noSuchOrder })) id: string): Promise<OrderView> {
    const order = await this.progress.find(id);
    if (order === undefined) throw noSuchOrder();
    return order;
  }
}

import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import { ZodPipe } from '../http/zod.pipe.js';
import { checkoutRequest, type CheckoutRequest } from '../orders/checkout.request.js';
import { SyncCheckoutService } from './sync-checkout.service.js';

@Controller('checkout/sync')
export class SyncCheckoutController {
  constructor(private readonly service: SyncCheckoutService) {}

  @Post()
  @HttpCode(200)
  async checkout(
    @Body(new ZodPipe(checkoutRequest)) request: CheckoutRequest,
  ): Promise<{ orderId: string; tookMs: number }> {
    const startedAt = performance.now();
    const { orderId } = await this.service.checkout(request);
    return { orderId, tookMs: Math.round(performance.now() - startedAt) };
  }
}

import { Module } from '@nestjs/common';
import { AnalyticsModule } from '../analytics/analytics.module.js';
import { EmailModule } from '../email/email.module.js';
import { InventoryModule } from '../inventory/inventory.module.js';
import { OrdersModule } from '../orders/orders.module.js';
import { PaymentModule } from '../payment/payment.module.js';
import { DirectCalls } from './direct-calls.js';
import { SyncCheckoutController } from './sync-checkout.controller.js';
import { SyncCheckoutService } from './sync-checkout.service.js';

/** The same checkout without events, to compare. It needs all five modules; with events none needs another. */
@Module({
  imports: [OrdersModule, InventoryModule, PaymentModule, EmailModule, AnalyticsModule],
  controllers: [SyncCheckoutController],
  providers: [SyncCheckoutService, DirectCalls],
})
export class SyncCheckoutModule {}

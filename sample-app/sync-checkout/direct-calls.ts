import { Injectable } from '@nestjs/common';
import { AnalyticsService } from '../analytics/analytics.service.js';
import { EmailService } from '../email/email.service.js';
import { InventoryService } from '../inventory/inventory.service.js';
import { PaymentService } from '../payment/payment.service.js';
import type { OrderPlaced } from '../shop.events.js';
import type { Service } from '../simulation/service.js';

/** The coupling itself: this class has to know every service and how to call it. */
@Injectable()
export class DirectCalls {
  readonly to: (service: Service, order: OrderPlaced) => Promise<void>;

  // eslint-disable-next-line max-params -- one for each service that it is tied to
  constructor(inventory: InventoryService, payment: PaymentService, email: EmailService, analytics: AnalyticsService) {
    const calls: Record<Service, (order: OrderPlaced) => Promise<void>> = {
      inventory: (order) => inventory.reserve(order),
      payment: (order) => payment.capture(order),
      email: (order) => email.sendConfirmation(order),
      analytics: (order) => analytics.track(order),
    };
    this.to = (service, order) => calls[service](order);
  }
}

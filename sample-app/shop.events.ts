/**
 * What the modules know of each other: these events and nothing else. Each carries what its handlers need, so that none
 * has to ask back.
 */
export interface OrderPlaced {
  readonly orderId: string;
  readonly userId: string;
  readonly items: readonly OrderItem[];
  readonly totalCents: number;
}

export interface OrderItem {
  readonly sku: string;
  readonly quantity: number;
  readonly price: number;
}

/** `inventory.stock.reserved` */
export interface StockReserved extends StepDone {
  readonly totalCents: number;
}

/** `payments.payment.captured` */
export interface PaymentCaptured extends StepDone {
  readonly totalCents: number;
}

/** `orders.order.completed` */
export interface OrderCompleted {
  readonly orderId: string;
  readonly userId: string;
  readonly totalCents: number;
}

/** `emails.email.sent` */
export type EmailSent = StepDone;

/** `analytics.order.tracked` */
export type OrderTracked = StepDone;

/** What each of the four services says when it has done its part. When it was done is the time of the event itself. */
export interface StepDone {
  readonly orderId: string;
  readonly userId: string;
  /** When the work began, RFC 3339. */
  readonly startedAt: string;
}

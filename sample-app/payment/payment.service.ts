import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository } from 'typeorm';
import { Simulation } from '../simulation/simulation.js';
import { Payment } from './payment.entity.js';

@Injectable()
export class PaymentService {
  constructor(
    @InjectRepository(Payment) private readonly payments: Repository<Payment>,
    private readonly simulation: Simulation,
  ) {}

  async capture({ orderId, totalCents }: { orderId: string; totalCents: number }): Promise<void> {
    // A real provider is outside of our transaction: it would get the order's id as its idempotency key.
    await this.simulation.call('payment');
    await this.payments.insert({ orderId, amountCents: totalCents });
  }
}

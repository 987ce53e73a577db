import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository } from 'typeorm';
import { Simulation } from '../simulation/simulation.js';
import type { OrderPlaced } from '../shop.events.js';
import { Email } from './email.entity.js';

@Injectable()
export class EmailService {
  constructor(
    @InjectRepository(Email) private readonly emails: Repository<Email>,
    private readonly simulation: Simulation,
  ) {}

  async sendConfirmation({ orderId, totalCents }: OrderPlaced): Promise<void> {
    // A real mail cannot be rolled back: it is at least once, unless the mail service takes an idempotency key.
    await this.simulation.call('email');
    await this.emails.insert({ orderId, subject: `Your order over ${(totalCents / 100).toFixed(2)}` });
  }
}

import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository } from 'typeorm';
import { Simulation } from '../simulation/simulation.js';
import type { OrderCompleted } from '../shop.events.js';
import { TrackedOrder } from './tracked-order.entity.js';

@Injectable()
export class AnalyticsService {
  constructor(
    @InjectRepository(TrackedOrder) private readonly tracked: Repository<TrackedOrder>,
    private readonly simulation: Simulation,
  ) {}

  async track({ orderId, userId, totalCents }: OrderCompleted): Promise<void> {
    await this.simulation.call('analytics');
    await this.tracked.insert({ orderId, userId, revenueCents: totalCents });
  }
}

import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository } from 'typeorm';
import { Simulation } from '../simulation/simulation.js';
import type { OrderPlaced } from '../shop.events.js';
import { Reservation } from './reservation.entity.js';

@Injectable()
export class InventoryService {
  constructor(
    @InjectRepository(Reservation) private readonly reservations: Repository<Reservation>,
    private readonly simulation: Simulation,
  ) {}

  async reserve({ orderId, items }: OrderPlaced): Promise<void> {
    await this.simulation.call('inventory');
    const units = items.reduce((sum, { quantity }) => sum + quantity, 0);
    await this.reservations.insert({ orderId, units });
  }
}

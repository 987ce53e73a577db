import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { EventsModule } from 'nestjs-events';
import { InventoryHandlers } from './inventory.handlers.js';
import { InventoryService } from './inventory.service.js';
import { Reservation } from './reservation.entity.js';

@Module({
  imports: [EventsModule.forFeature({ group: 'inventory' }), TypeOrmModule.forFeature([Reservation])],
  providers: [InventoryService, InventoryHandlers],
  exports: [InventoryService], // for the direct way only
})
export class InventoryModule {}

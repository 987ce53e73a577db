import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { EventsModule } from 'nestjs-events';
import { FailedSteps } from './failed-steps.js';
import { OrderProgress } from './order-progress.js';
import { OrderStep } from './order-step.entity.js';
import { Order } from './order.entity.js';
import { OrdersController } from './orders.controller.js';
import { OrdersHandlers } from './orders.handlers.js';
import { OrdersService } from './orders.service.js';

@Module({
  imports: [EventsModule.forFeature({ group: 'orders' }), TypeOrmModule.forFeature([Order, OrderStep])],
  controllers: [OrdersController],
  providers: [OrdersService, OrderProgress, OrdersHandlers, FailedSteps],
  exports: [OrdersService, OrderProgress], // for the direct way only
})
export class OrdersModule {}

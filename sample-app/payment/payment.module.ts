import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { EventsModule } from 'nestjs-events';
import { Payment } from './payment.entity.js';
import { PaymentHandlers } from './payment.handlers.js';
import { PaymentService } from './payment.service.js';

@Module({
  imports: [EventsModule.forFeature({ group: 'payment' }), TypeOrmModule.forFeature([Payment])],
  providers: [PaymentService, PaymentHandlers],
  exports: [PaymentService], // for the direct way only
})
export class PaymentModule {}

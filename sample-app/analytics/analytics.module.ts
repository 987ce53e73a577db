import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { EventsModule } from 'nestjs-events';
import { AnalyticsHandlers } from './analytics.handlers.js';
import { AnalyticsService } from './analytics.service.js';
import { TrackedOrder } from './tracked-order.entity.js';

@Module({
  imports: [EventsModule.forFeature({ group: 'analytics' }), TypeOrmModule.forFeature([TrackedOrder])],
  providers: [AnalyticsService, AnalyticsHandlers],
  exports: [AnalyticsService], // for the direct way only
})
export class AnalyticsModule {}

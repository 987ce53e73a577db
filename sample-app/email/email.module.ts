import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { EventsModule } from 'nestjs-events';
import { Email } from './email.entity.js';
import { EmailHandlers } from './email.handlers.js';
import { EmailService } from './email.service.js';

@Module({
  imports: [EventsModule.forFeature({ group: 'email' }), TypeOrmModule.forFeature([Email])],
  providers: [EmailService, EmailHandlers],
  exports: [EmailService], // for the direct way only
})
export class EmailModule {}

import { Module } from '@nestjs/common';
import { ConfigModule } from '@nestjs/config';
import { EventsModule, memory, type TransportDefinition } from 'nestjs-events';
import { kafka } from 'nestjs-events/kafka';
import { rabbitmq } from 'nestjs-events/rabbitmq';
import { typeormIdempotency, typeormOutbox } from 'nestjs-events/typeorm';
import { AnalyticsModule } from './analytics/analytics.module.js';
import { appConfig, type AppConfig } from './config/app.config.js';
import { DatabaseModule } from './database/database.module.js';
import { DeadLettersController } from './dead-letters/dead-letters.controller.js';
import { EmailModule } from './email/email.module.js';
import { InventoryModule } from './inventory/inventory.module.js';
import { OrdersModule } from './orders/orders.module.js';
import { PageController } from './page/page.controller.js';
import { PaymentModule } from './payment/payment.module.js';
import { SimulationModule } from './simulation/simulation.module.js';
import { SyncCheckoutModule } from './sync-checkout/sync-checkout.module.js';

@Module({
  imports: [
    ConfigModule.forRoot({ isGlobal: true, load: [appConfig] }),
    DatabaseModule,
    EventsModule.forRootAsync({
      inject: [appConfig.KEY],
      useFactory: (config: AppConfig) => ({
        service: 'shop',
        transports: [transportOf(config)],
        idempotency: typeormIdempotency(),
        outbox: typeormOutbox(),
        concurrency: 5, // see the size of the connection pool in database.module.ts
      }),
    }),
    OrdersModule,
    InventoryModule,
    PaymentModule,
    EmailModule,
    AnalyticsModule,
    SyncCheckoutModule,
    SimulationModule,
  ],
  controllers: [PageController, DeadLettersController],
})
export class AppModule {}

/** The only place that knows what carries the events. */
function transportOf({ transport, kafkaBrokers, rabbitmqUrl }: AppConfig): TransportDefinition {
  switch (transport) {
    case 'kafka':
      return kafka({ brokers: kafkaBrokers });
    case 'rabbitmq':
      return rabbitmq({ url: rabbitmqUrl });
    case 'memory':
      return memory();
  }
}

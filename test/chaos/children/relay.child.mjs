/** Publishes what others put into the outbox, until it is killed or dies where its task says. */
import { EventsRelayModule } from 'nestjs-events';
import { typeormOutbox } from 'nestjs-events/typeorm';
import { CrashPoint, crashInTransport } from './crash-point.mjs';
import { databaseModule, startApp, task, taskTransport } from './nest-app.mjs';

await startApp({
  imports: [
    databaseModule(5),
    EventsRelayModule.forRoot({
      service: 'relay',
      transports: [crashInTransport(await taskTransport(), new CrashPoint(task.crash))],
      outbox: typeormOutbox(),
    }),
  ],
});

/**
 * A consumer with a handler that ends the process at one event, in the way its task says. Every other event leaves a row,
 * which nothing else keeps from being two.
 */
import { ActivityStream, EventsModule, OnEvent } from 'nestjs-events';
import { typeormAttempts, typeormIdempotency } from 'nestjs-events/typeorm';
import { DataSource } from 'typeorm';
import { databaseModule, handles, injectable, say, startApp, task, taskTransport } from './nest-app.mjs';

const { service, crashes, end } = task;
const TOLD = ['unclean-stop', 'handled', 'dead-lettered'];

const ENDS = {
  exit: () => process.exit(1),
  memory: () => {
    const all = [];
    for (;;) all.push(new Array(10_000).fill(all.length));
  },
  loop: () => {
    for (;;);
  },
};

class Orders {
  constructor(dataSource) {
    this.dataSource = dataSource;
  }

  async place({ ends }, { id }) {
    await this.dataSource.query('INSERT INTO effects (service, event) VALUES ($1, $2)', [service, id]);
    // So that others are in the middle of it, too.
    await new Promise((resolve) => setTimeout(resolve, 20));
    if (ends !== undefined) ENDS[ends]();
  }
}
injectable(Orders, DataSource);
handles(Orders, 'place', OnEvent(`${service}.order.placed`, { id: 'place', retry: { crashes } }));

/** Hears from the first event on. */
class Teller {
  constructor(stream) {
    stream.activities.subscribe(({ type, id, error }) => {
      if (TOLD.includes(type)) say({ step: type, id, code: error?.code });
    });
  }
}
injectable(Teller, ActivityStream);

const app = await startApp({
  imports: [
    databaseModule(12),
    EventsModule.forRoot({
      service,
      transports: [await taskTransport()],
      idempotency: typeormIdempotency(),
      attempts: typeormAttempts(),
      // Filling the memory takes its time, too.
      watchdog: end === 'loop' && { blockedMs: 1_000, endProcess: true },
    }),
  ],
  providers: [Orders, Teller],
});
app.enableShutdownHooks();
say({ step: 'stoppable' });

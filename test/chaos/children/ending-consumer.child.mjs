/**
 * A consumer with a handler that ends the process at one event, in the way its task says. Every other event leaves a row,
 * which nothing else keeps from being two.
 */
import { ActivityStream, EventsModule, OnEvent, OnEvents } from 'nestjs-events';
import { typeormAttempts, typeormIdempotency } from 'nestjs-events/typeorm';
import { DataSource } from 'typeorm';
import { databaseModule, handles, injectable, say, startApp, task, taskTransport } from './nest-app.mjs';

const { service, crashes, end, batch } = task;
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

  place(_, envelope) {
    return this.placeAll([envelope]);
  }

  async placeAll(envelopes) {
    for (const { id } of envelopes) {
      await this.dataSource.query('INSERT INTO effects (service, event) VALUES ($1, $2)', [service, id]);
    }
    // So that others are in the middle of it, too.
    await new Promise((resolve) => setTimeout(resolve, 20));
    for (const { data } of envelopes) ENDS[data.ends]?.();
  }
}
injectable(Orders, DataSource);
const pattern = `${service}.order.placed`;
const options = { id: 'place', retry: { crashes } };
if (batch) handles(Orders, 'placeAll', OnEvents(pattern, { ...options, batch: { size: 10, waitMs: 50 } }));
else handles(Orders, 'place', OnEvent(pattern, options));

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

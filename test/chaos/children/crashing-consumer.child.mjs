/**
 * The first consumer of the crash matrix: writes an effect for each order and publishes a follow-up through the outbox,
 * whose relay runs here, too. It dies where its task says.
 */
import { EventBus, EventsModule, OnEvent, OnEvents } from 'nestjs-events';
import { typeormIdempotency, typeormOutbox } from 'nestjs-events/typeorm';
import { DataSource } from 'typeorm';
import { CrashPoint, crashInDatabase, crashInTransport } from './crash-point.mjs';
import { databaseModule, handles, injectable, startApp, task, taskTransport } from './nest-app.mjs';

const { line, schema, idempotent, batchSize } = task;
const crash = new CrashPoint(task.crash);
crashInDatabase(crash);

class Orders {
  constructor(dataSource, bus) {
    this.dataSource = dataSource;
    this.bus = bus;
  }

  /** n.b. without idempotency there is still a transaction, or there would be no steps to die at. */
  place(_, envelope) {
    return idempotent ? this.write([envelope]) : this.bus.transactional(() => this.write([envelope]));
  }

  placeAll(envelopes) {
    return this.write(envelopes);
  }

  async write(envelopes) {
    for (const { id } of envelopes) {
      await this.dataSource.query('INSERT INTO effects (line, event) VALUES ($1, $2)', [line, id]);
      crash.reach('in the handler');
    }
    const follow = ({ id, key }) => ({ name: `${line}.mail.sent`, data: { event: id }, key });
    await this.bus.publishAll(envelopes.map(follow));
  }
}
injectable(Orders, DataSource, EventBus);
const pattern = `${line}.order.placed`;
if (batchSize === undefined) handles(Orders, 'place', OnEvent(pattern, { id: 'place', idempotent }));
else handles(Orders, 'placeAll', OnEvents(pattern, { id: 'place', batch: { size: batchSize, waitMs: 50 } }));

await startApp({
  imports: [
    databaseModule(5),
    EventsModule.forRoot({
      service: line,
      transports: [crashInTransport(await taskTransport(), crash)],
      idempotency: typeormIdempotency({ schema }),
      outbox: typeormOutbox({ schema }),
      concurrency: 3,
    }),
  ],
  providers: [Orders],
});

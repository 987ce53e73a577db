/** One of several instances of a consumer that share its deliveries. Each handled event leaves a row; nothing else keeps it from two. */
import { ActivityStream, EventsModule, OnEvent } from 'nestjs-events';
import { typeormIdempotency } from 'nestjs-events/typeorm';
import { DataSource } from 'typeorm';
import { databaseModule, handles, injectable, say, startApp, task, taskTransport } from './nest-app.mjs';

class Orders {
  constructor(dataSource) {
    this.dataSource = dataSource;
  }

  async place(_, { id }) {
    await this.dataSource.query('INSERT INTO effects (event, instance) VALUES ($1, $2)', [id, task.instance]);
  }
}
injectable(Orders, DataSource);
handles(Orders, 'place', OnEvent(`${task.service}.order.placed`, { id: 'place' }));

const app = await startApp({
  imports: [
    databaseModule(12),
    EventsModule.forRoot({
      service: task.service,
      transports: [await taskTransport()],
      idempotency: typeormIdempotency(),
    }),
  ],
  providers: [Orders],
});

const settled = {};
app.get(ActivityStream).activities.subscribe(({ type }) => (settled[type] = (settled[type] ?? 0) + 1));
setInterval(() => say({ step: 'settled', settled }), 100);

/** An instance of a consumer whose handler is broken, or mended. Each effect leaves a row; nothing else keeps it from two. */
import { EventsModule, OnEvent } from 'nestjs-events';
import { typeormDeadLetters, typeormIdempotency } from 'nestjs-events/typeorm';
import { DataSource } from 'typeorm';
import { databaseModule, handles, injectable, startApp, task, taskTransport } from './nest-app.mjs';

class Accounts {
  constructor(dataSource) {
    this.dataSource = dataSource;
  }

  async post({ n }, { id, key }) {
    if (task.broken) throw new Error('there is a bug in here');
    await this.dataSource.query('INSERT INTO effects (event, key, n) VALUES ($1, $2, $3)', [id, key, n]);
  }
}
injectable(Accounts, DataSource);
handles(Accounts, 'post', OnEvent(`${task.service}.entry.made`, { id: 'post', retry: { attempts: 1 } }));

const app = await startApp({
  imports: [
    databaseModule(14),
    EventsModule.forRoot({
      service: task.service,
      transports: [await taskTransport()],
      idempotency: typeormIdempotency(),
      deadLetters: { store: typeormDeadLetters(), pollMs: 100 },
    }),
  ],
  providers: [Accounts],
});
app.enableShutdownHooks();

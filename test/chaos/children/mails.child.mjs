/** The second consumer of the crash matrix: one effect for each follow-up, of all lines. It lives on. */
import { EventsModule, OnEvent } from 'nestjs-events';
import { typeormIdempotency } from 'nestjs-events/typeorm';
import { DataSource } from 'typeorm';
import { databaseModule, handles, injectable, startApp, task, taskTransport } from './nest-app.mjs';

const follow = ({ line }) => `${line}.mail.sent`;

class Mails {
  constructor(dataSource) {
    this.dataSource = dataSource;
  }

  async send(data, { name }) {
    const [line] = name.split('.');
    await this.dataSource.query('INSERT INTO mails (line, event) VALUES ($1, $2)', [line, data.event]);
  }

  sendAgain(data, envelope) {
    return this.send(data, envelope);
  }
}
injectable(Mails, DataSource);
const once = task.lines.filter(({ idempotent }) => idempotent).map(follow);
const again = task.lines.filter(({ idempotent }) => !idempotent).map(follow);
handles(Mails, 'send', OnEvent(once, { id: 'send' }));
handles(Mails, 'sendAgain', OnEvent(again, { id: 'send-again', idempotent: false }));

await startApp({
  imports: [
    databaseModule(12),
    EventsModule.forRoot({
      service: task.service,
      transports: [await taskTransport()],
      idempotency: typeormIdempotency({ schema: task.schema }),
    }),
  ],
  providers: [Mails],
});

/** An operator: a program without handlers that asks for a redrive, or goes on with the one it finds, and tells how it goes. */
import { DeadLetterService, EventsModule } from 'nestjs-events';
import { typeormDeadLetters } from 'nestjs-events/typeorm';
import { databaseModule, say, startApp, task, taskTransport } from './nest-app.mjs';

const app = await startApp({
  imports: [
    databaseModule(3),
    EventsModule.forRoot({
      service: `${task.service}-${task.by}`,
      transports: [await taskTransport()],
      deadLetters: { store: typeormDeadLetters() },
    }),
  ],
});

const deadLetters = app.get(DeadLetterService);
const { items } = await deadLetters.redrives();
const mine = items.find(({ by, state }) => by === task.by && state === 'running');
const { id } = mine ?? (await deadLetters.redrive({ group: task.service }, { by: task.by, note: 'the bug is mended' }));
for await (const redrive of deadLetters.progress(id)) say({ step: 'progress', redrive });
say({ step: 'over' });

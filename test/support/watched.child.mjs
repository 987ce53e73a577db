/** Blocks its event loop in a handler for as long as its task says, closes, and ends by itself: nothing keeps it alive. */
import { ActivityStream, EventBus, EventsModule, memory, OnEvent } from 'nestjs-events';
import { handles, say, startApp, task } from '../chaos/children/nest-app.mjs';

process.stdin.pause();

class Pages {
  turn() {
    say({ step: 'blocking' });
    const until = performance.now() + task.forMs;
    while (performance.now() < until);
    say({ step: 'blocked' });
  }
}
handles(Pages, 'turn', OnEvent('books.page.turned', { id: 'turn' }));

const app = await startApp({
  imports: [EventsModule.forRoot({ service: 'books', transports: [memory()], watchdog: task.watchdog })],
  providers: [Pages],
});
const handled = new Promise((resolve) => {
  app.get(ActivityStream).activities.subscribe(({ type, blockedMs }) => {
    if (type === 'event-loop-blocked') say({ step: type, blockedMs });
    if (type === 'handled') resolve();
  });
});
// The watchdog's thread has to be there first.
await new Promise((resolve) => setTimeout(resolve, 500));
await app.get(EventBus).publish('books.page.turned', null);
await handled;
// n.b. timers that came late run before this one
await new Promise((resolve) => setTimeout(resolve, 100));
await app.close();
say({ step: 'closed' });

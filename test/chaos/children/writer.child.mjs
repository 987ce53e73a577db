/** Carries out its planned transactions, several at a time; says so when all of them have ended. */
import { setTimeout as sleep } from 'node:timers/promises';
import { EventBus, EventsModule } from 'nestjs-events';
import { typeormOutbox } from 'nestjs-events/typeorm';
import { DataSource } from 'typeorm';
import { databaseModule, say, startApp, task, taskTransport } from './nest-app.mjs';

const AT_ONCE = 6;

class RolledBack extends Error {}

const app = await startApp({
  imports: [
    databaseModule(AT_ONCE + 2),
    EventsModule.forRoot({
      service: 'writer',
      transports: [await taskTransport()],
      outbox: typeormOutbox({ relay: false }),
    }),
  ],
});
const bus = app.get(EventBus);
const dataSource = app.get(DataSource);

const transactions = await dataSource.query('SELECT transaction FROM plan WHERE writer = $1 ORDER BY n', [task.writer]);
const left = transactions.values();
await Promise.all(Array.from({ length: AT_ONCE }, () => carryOut(left)));
say({ step: 'done' });

async function carryOut(rows) {
  for (const { transaction } of rows) await bus.transactional(() => write(transaction)).catch(rethrowOthers);
}

async function write({ events, lateMs, rollsBack }) {
  const outgoing = events.map(({ id, key }) => ({ name: task.event, data: {}, id, key }));
  const [first, ...rest] = outgoing;
  if (rest.every(({ key }) => key === first.key)) {
    for (const { name, data, ...options } of outgoing) {
      await bus.publish(name, data, options);
      await sleep(lateMs / outgoing.length);
    }
  } else {
    await bus.publishAll(outgoing);
    await sleep(lateMs);
  }
  await number(events);
  if (rollsBack) throw new RolledBack();
}

/**
 * The order in which the transactions of a key commit. n.b. counted at the very end, and not before the events are
 * enrolled: the row locks would make the transactions take turns, and that is the outbox's part. By key, so that two of them cannot wait for each other.
 */
async function number(events) {
  for (const { id, key } of events.toSorted((one, other) => one.key.localeCompare(other.key))) {
    await dataSource.query(
      `WITH counted AS (UPDATE counters SET n = n + 1 WHERE key = $1 RETURNING n)
       INSERT INTO committed (event, key, n) SELECT $2, $1, n FROM counted`,
      [key, id],
    );
  }
}

function rethrowOthers(error) {
  if (!(error instanceof RolledBack)) throw error;
}

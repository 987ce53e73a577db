/**
 * How many effects a second are committed, of events that were handed over beforehand. They are handed over in portions
 * and the time runs while a portion is handled, so that neither publishing is measured nor a heap full of what waits.
 * At the end the database is asked for what it holds.
 */
import { eventSource } from '../harness/events.mjs';
import { meter } from '../harness/meter.mjs';
import { countRows } from '../harness/postgres-places.mjs';
import { ReachedCount } from '../harness/reached-count.mjs';

/**
 * @param {import('../harness/types.mjs').Contestant} contestant
 * @param {import('../harness/types.mjs').Job} job settings: count, portion, warmUp
 * @returns {Promise<import('../harness/types.mjs').Measured>}
 */
export async function measure(contestant, { target, options, settings }) {
  const { count = 0, portion = 1, warmUp = 0 } = settings;
  const handled = new ReachedCount();
  const session = await contestant.open({ target, options, publishes: true, handle: () => handled.add() });
  const next = eventSource();
  let total = 0;
  const handOver = async (/** @type {number} */ events) => {
    total += events;
    await session.publishMany?.(Array.from({ length: events }, next));
  };

  await handOver(warmUp);
  await handled.reaches(warmUp);
  const sum = { events: 0, seconds: 0, cpuMicroseconds: 0 };
  for (let done = 0; done < count; done += portion) {
    await handOver(Math.min(portion, count - done));
    const before = handled.count;
    const metered = meter();
    await handled.reaches(total);
    const { seconds, cpuMicroseconds } = metered();
    sum.events += total - before;
    sum.seconds += seconds;
    sum.cpuMicroseconds += cpuMicroseconds;
  }

  await session.close();
  const effects = await countRows(target, 'effects');
  if (effects !== total) throw new Error(`${effects} effects of ${total} events`);
  if (sum.events < count / 2)
    throw new Error(`only ${sum.events} of ${count} were handled after they were handed over`);
  return {
    metrics: [{ unit: 'events/s', value: sum.events / sum.seconds }],
    cpuMicroseconds: sum.cpuMicroseconds / sum.events,
  };
}

/** Not a measurement: writes what another process is going to consume, in the contestant's own format. */
import { eventSource } from '../harness/events.mjs';

const BATCH = 1_000;

/**
 * @param {import('../harness/types.mjs').Contestant} contestant
 * @param {import('../harness/types.mjs').Job} job settings: count, keys
 * @returns {Promise<import('../harness/types.mjs').Measured>}
 */
export async function measure(contestant, { target, options, settings }) {
  const { count = 0, keys } = settings;
  const request = { target, options, publishes: true, handle: undefined };
  await contestant.declare?.(request);
  if (count > 0) await publish(await contestant.open(request), eventSource(keys), count);
  return { metrics: [] };
}

/**
 * @param {import('../harness/types.mjs').Session} session
 * @param {ReturnType<typeof eventSource>} next
 * @param {number} count
 */
async function publish(session, next, count) {
  for (let rest = count; rest > 0; rest -= BATCH) {
    const events = Array.from({ length: Math.min(rest, BATCH) }, next);
    await (session.publishMany?.(events) ?? Promise.all(events.map((event) => session.publish(event))));
  }
  await session.close();
}

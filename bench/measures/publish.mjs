/** How many events a second are confirmed while a fixed number of publishes is under way. */
import { eventSource } from '../harness/events.mjs';
import { meter } from '../harness/meter.mjs';

/**
 * @param {import('../harness/types.mjs').Contestant} contestant
 * @param {import('../harness/types.mjs').Job} job settings: inFlight, warmUpMs, runMs
 * @returns {Promise<import('../harness/types.mjs').Measured>}
 */
export async function measure(contestant, { target, options, settings }) {
  const { inFlight = 1, warmUpMs = 0, runMs = 0 } = settings;
  const session = await contestant.open({ target, options, publishes: true, handle: undefined });
  const send = sender(session, inFlight);

  await publishFor(send, warmUpMs);
  const metered = meter();
  const confirmed = await publishFor(send, runMs);
  const { seconds, cpuMicroseconds } = metered();

  await session.close();
  return {
    metrics: [{ unit: 'events/s', value: confirmed / seconds }],
    cpuMicroseconds: cpuMicroseconds / confirmed,
  };
}

/**
 * @typedef {object} Sender
 * @property {number} workers
 * @property {number} eventsPerCall
 * @property {() => Promise<unknown>} call
 */

/**
 * @param {import('../harness/types.mjs').Session} session
 * @param {number} inFlight
 * @returns {Sender}
 */
function sender(session, inFlight) {
  const next = eventSource();
  const { publishMany } = session;
  if (!publishMany) return { workers: inFlight, eventsPerCall: 1, call: () => session.publish(next()) };
  const call = () => publishMany(Array.from({ length: inFlight }, next));
  return { workers: 1, eventsPerCall: inFlight, call };
}

/**
 * @param {Sender} sender
 * @param {number} durationMs
 * @returns {Promise<number>} how many events were confirmed, to the last that was begun
 */
async function publishFor({ workers, eventsPerCall, call }, durationMs) {
  const end = performance.now() + durationMs;
  let confirmed = 0;
  const work = async () => {
    while (performance.now() < end) {
      await call();
      confirmed += eventsPerCall;
    }
  };
  await Promise.all(Array.from({ length: workers }, work));
  return confirmed;
}

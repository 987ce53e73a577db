/**
 * How many events a second reach the broker: of those that an outbox holds when the time starts, until it is empty; or
 * published by a fixed number of loops, which is what it can be compared with.
 */
import { eventSource } from '../harness/events.mjs';
import { countEvents } from '../harness/kafka-places.mjs';
import { meter } from '../harness/meter.mjs';

/**
 * @param {import('../harness/types.mjs').Contestant} contestant
 * @param {import('../harness/types.mjs').Job} job settings: count, keys, warmUp; option: inFlight
 * @returns {Promise<import('../harness/types.mjs').Measured>}
 */
export async function measure(contestant, { target, options, settings }) {
  const { count = 0, keys = 1, warmUp = 0 } = settings;
  const session = await contestant.open({ target, options, publishes: true, handle: undefined });
  const next = eventSource(keys);
  const send = session.relayed ? relaying(session) : publishing(session, Number(options.inFlight));

  await (
    await send(Array.from({ length: warmUp }, next))
  )();
  const start = await send(Array.from({ length: count }, next));
  const metered = meter();
  await start();
  const { seconds, cpuMicroseconds } = metered();

  await session.close();
  const arrived = await countEvents(target);
  if (arrived !== warmUp + count) throw new Error(`${arrived} of ${warmUp + count} events are at the broker`);
  return { metrics: [{ unit: 'events/s', value: count / seconds }], cpuMicroseconds: cpuMicroseconds / count };
}

/**
 * What makes ready, and returns what is measured.
 * @typedef {(events: import('../harness/types.mjs').OutgoingEvent[]) => Promise<() => Promise<unknown>>} Send
 */

/**
 * n.b. the relay starts when the transaction commits: a few milliseconds before the time does.
 * @param {import('../harness/types.mjs').Session} session
 * @returns {Send}
 */
function relaying({ publishMany, relayed }) {
  return async (events) => {
    await publishMany?.(events);
    return async () => relayed?.();
  };
}

/**
 * @param {import('../harness/types.mjs').Session} session
 * @param {number} inFlight
 * @returns {Send}
 */
function publishing({ publish }, inFlight) {
  return async (events) => async () => {
    const rest = events.values();
    const work = async () => {
      for (const event of rest) await publish(event);
    };
    await Promise.all(Array.from({ length: inFlight }, work));
  };
}

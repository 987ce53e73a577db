/**
 * What failing events do to the others. Poison events always fail, flaky ones once or twice. Throughput is that of the
 * good ones, those that succeed in the end: from the first event until the last of them has been handled, or until the
 * cut-off where some have been neither handled nor given up. With the setting `perSecond`, events arrive at that rate; without it all of them wait at the broker before.
 * With the option `failing: false` nothing fails, and the throughput is that of the same events.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { eventSource } from '../harness/events.mjs';
import { failuresOf } from '../harness/failing-events.mjs';
import { FailureTally } from '../harness/failure-tally.mjs';
import { leftBehind } from '../harness/left-behind.mjs';
import { atRate } from '../harness/rate.mjs';

const POLL_MS = 50;

/**
 * @param {import('../harness/types.mjs').Contestant} contestant
 * @param {import('../harness/types.mjs').Job} job settings: count, keys, perSecond, poisonPercent, flakyPercent, cutOffMs, quietMs; option: failing
 * @returns {Promise<import('../harness/types.mjs').Measured>}
 */
export async function measure(contestant, { target, options, settings }) {
  const { count = 0, keys = 1, perSecond = 0, poisonPercent = 0, flakyPercent = 0 } = settings;
  const { cutOffMs = 0, quietMs = 0 } = settings;
  const failures = failuresOf(count, { poisonPercent, flakyPercent });
  const tally = new FailureTally(failures, { failing: options.failing !== false });
  const session = await contestant.open({
    target,
    options,
    publishes: perSecond > 0,
    handle: (data) => tally.handle(data),
  });
  if (perSecond > 0) await publishAll(session, { count, keys, perSecond, tally });
  await until(() => tally.finished || tally.ranFor(cutOffMs));
  await until(() => tally.quietFor(quietMs) || tally.ranFor(cutOffMs));
  tally.end();
  await session.close();
  const left = session.deadLetters && (await leftBehind(target, session.deadLetters));
  return tally.measured(left);
}

/**
 * @param {import('../harness/types.mjs').Session} session
 * @param {{ count: number, keys: number, perSecond: number, tally: FailureTally }} what
 */
async function publishAll(session, { count, keys, perSecond, tally }) {
  const next = eventSource(keys);
  const events = Array.from({ length: count + 1 }, next);
  // A consumer may still be joining its group when it says that it runs. This one is no part of the measurement.
  await session.publish(/** @type {import('../harness/types.mjs').OutgoingEvent} */ (events[count]));
  await until(() => tally.warm);

  const rest = events.values();
  const publishNext = () => {
    const event = /** @type {import('../harness/types.mjs').OutgoingEvent} */ (rest.next().value);
    tally.published(event.data);
    return session.publish(event);
  };
  await atRate(publishNext, { perSecond, while: (published) => published < count });
}

/** @param {() => boolean} condition */
async function until(condition) {
  while (!condition()) await sleep(POLL_MS);
}

/** How long one awaited publish takes when nothing else is under way. */
import { setTimeout as sleep } from 'node:timers/promises';
import { eventSource } from '../harness/events.mjs';
import { percentile } from '../harness/statistics.mjs';

/**
 * @param {import('../harness/types.mjs').Contestant} contestant
 * @param {import('../harness/types.mjs').Job} job settings: warmUp, count, everyMs
 * @returns {Promise<import('../harness/types.mjs').Measured>}
 */
export async function measure(contestant, { target, options, settings }) {
  const { warmUp = 0, count = 0, everyMs = 0 } = settings;
  const session = await contestant.open({ target, options, publishes: true, handle: undefined });
  const next = eventSource();
  /** @type {number[]} */
  const tookMs = [];

  for (let index = 0; index < warmUp + count; index++) {
    const begin = performance.now();
    await session.publish(next());
    const took = performance.now() - begin;
    if (index >= warmUp) tookMs.push(took);
    await sleep(Math.max(0, everyMs - took));
  }

  await session.close();
  return {
    metrics: [
      { name: 'p50', unit: 'ms', value: percentile(tookMs, 0.5) },
      { name: 'p99', unit: 'ms', value: percentile(tookMs, 0.99) },
    ],
  };
}

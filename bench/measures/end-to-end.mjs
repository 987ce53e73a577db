/** How long it takes from publishing to the handler, at a steady rate, publisher and consumer in one process. */
import { setTimeout as sleep } from 'node:timers/promises';
import { eventSource, nowMicroseconds } from '../harness/events.mjs';
import { atRate } from '../harness/rate.mjs';
import { percentile } from '../harness/statistics.mjs';

const ARRIVAL_DEADLINE_MS = 30_000;

/**
 * @param {import('../harness/types.mjs').Contestant} contestant
 * @param {import('../harness/types.mjs').Job} job settings: perSecond, warmUp, count
 * @returns {Promise<import('../harness/types.mjs').Measured>}
 */
export async function measure(contestant, { target, options, settings }) {
  const { perSecond = 1, warmUp = 0, count = 0 } = settings;
  /** @type {Map<number, number>} milliseconds by sequence */
  const took = new Map();
  const session = await contestant.open({
    target,
    options,
    publishes: true,
    handle: ({ sequence, sentAt }) => {
      if (!took.has(sequence)) took.set(sequence, (nowMicroseconds() - sentAt) / 1_000);
    },
  });
  const next = eventSource();
  // A consumer may still be joining its group when it says that it runs.
  await session.publish(next());
  await arrived(took, 1);

  await atRate(() => session.publish(next()), { perSecond, while: (published) => published < warmUp + count });
  await arrived(took, 1 + warmUp + count);
  await session.close();

  const measured = [...took].sort(([a], [b]) => a - b).slice(1 + warmUp);
  const values = measured.map(([, ms]) => ms);
  return {
    metrics: [
      { name: 'p50', unit: 'ms', value: percentile(values, 0.5) },
      { name: 'p99', unit: 'ms', value: percentile(values, 0.99) },
    ],
  };
}

/**
 * @param {Map<number, number>} took
 * @param {number} count
 */
async function arrived(took, count) {
  const end = performance.now() + ARRIVAL_DEADLINE_MS;
  while (took.size < count) {
    if (performance.now() > end) throw new Error(`${took.size} of ${count} events arrived`);
    await sleep(20);
  }
}

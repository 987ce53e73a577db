/**
 * How long an event takes, at a steady rate, from publishing until its effect is committed and it is settled, while old
 * rows are cleaned; and how many rows a second are. Publisher, handler and cleaner are one process.
 */
import { eventSource, nowMicroseconds } from '../harness/events.mjs';
import { atRate } from '../harness/rate.mjs';
import { percentile } from '../harness/statistics.mjs';

/**
 * @param {import('../harness/types.mjs').Contestant} contestant
 * @param {import('../harness/types.mjs').Job} job settings: perSecond, warmUp, runMs where nothing is cleaned, longestMs where it is
 * @returns {Promise<import('../harness/types.mjs').Measured>}
 */
export async function measure(contestant, { target, options, settings }) {
  const { perSecond = 1, warmUp = 0, runMs = 0, longestMs = 0 } = settings;
  /** @type {Map<number, number>} milliseconds by sequence */
  const took = new Map();
  /** @type {Map<number, number>} */
  const sent = new Map();
  const session = await contestant.open({
    target,
    options,
    publishes: true,
    handle: () => {},
    settled: (sequence) => took.set(sequence, (nowMicroseconds() - Number(sent.get(sequence))) / 1_000),
  });
  const cleans = options.retention !== undefined;
  /** @type {number | undefined} */
  let rowsPerSecond;
  if (cleans) void session.cleaned?.().then((speed) => (rowsPerSecond = speed));

  const next = eventSource();
  const publish = () => {
    const event = next();
    sent.set(event.data.sequence, event.data.sentAt);
    return session.publish(event);
  };
  const end = performance.now() + (cleans ? longestMs : runMs);
  await atRate(publish, { perSecond, while: () => rowsPerSecond === undefined && performance.now() < end });
  await session.close();
  if (cleans && rowsPerSecond === undefined) throw new Error(`The cleaning was not done in ${longestMs} ms.`);
  if (took.size !== sent.size) throw new Error(`${took.size} of ${sent.size} events were settled`);

  const values = [...took]
    .sort(([a], [b]) => a - b)
    .slice(warmUp)
    .map(([, ms]) => ms);
  return {
    metrics: [
      { name: 'p50', unit: 'ms', value: percentile(values, 0.5) },
      { name: 'p99', unit: 'ms', value: percentile(values, 0.99) },
      { name: 'longest', unit: 'ms', value: Math.max(...values) },
      ...(rowsPerSecond === undefined ? [] : [{ name: 'cleaned', unit: 'rows/s', value: rowsPerSecond }]),
    ],
  };
}

import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Publishes by the clock, not by pauses: a late one is followed by the next at its own time. Nobody waits for a
 * confirmation until the end.
 * @param {() => Promise<unknown>} publish
 * @param {{ perSecond: number, while: (published: number) => boolean }} rate
 */
export async function atRate(publish, { perSecond, while: goesOn }) {
  const begin = performance.now();
  const confirmations = [];
  for (let index = 0; goesOn(index); index++) {
    const waitMs = begin + (index * 1_000) / perSecond - performance.now();
    if (waitMs > 0) await sleep(waitMs);
    confirmations.push(publish());
  }
  await Promise.all(confirmations);
}

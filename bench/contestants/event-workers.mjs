/** A list of events and workers that take from it: the least there can be in front of a database. */

/**
 * @typedef {import('../harness/types.mjs').EventData} EventData
 *
 * @typedef {object} Workers
 * @property {(events: import('../harness/types.mjs').OutgoingEvent[]) => Promise<void>} publishMany
 * @property {() => Promise<void>} idle resolves when all that was published is handled
 */

/**
 * @param {{ handle: (events: EventData[]) => Promise<void> }[]} workers each takes part of the events
 * @param {number} size how many a worker takes at once
 * @returns {Workers}
 */
export function eventWorkers(workers, size) {
  /** @type {EventData[]} */
  const events = [];
  let next = 0;
  const running = new Set();
  const run = async (/** @type {typeof workers[number]} */ worker) => {
    while (next < events.length) {
      const end = Math.min(next + size, events.length);
      const taken = events.slice(next, end);
      next = end;
      await worker.handle(taken);
    }
  };
  return {
    publishMany: async (more) => {
      for (const { data } of more) events.push(data);
      for (const worker of workers) {
        if (running.has(worker)) continue;
        running.add(worker);
        void run(worker).finally(() => running.delete(worker));
      }
    },
    idle: async () => {
      while (running.size > 0) await new Promise((resolve) => setTimeout(resolve, 10));
    },
  };
}

/** One job in a process of its own: nothing that another contestant left in the heap or the compiler is in its way. */

const CLOSE_DEADLINE_MS = 20_000;

/** @type {import('./types.mjs').Job} */
const job = JSON.parse(process.argv[2] ?? '');
/** @type {import('./types.mjs').Contestant} */
const contestant = await import(`../contestants/${job.module}.mjs`);
/** @type {{ measure: (contestant: import('./types.mjs').Contestant, job: import('./types.mjs').Job) => Promise<import('./types.mjs').Measured> }} */
const { measure } = await import(`../measures/${job.measure}.mjs`);

const measured = await measure(withinDeadline(contestant), job);
process.send?.(measured, () => process.exit(0));

/**
 * A client that does not end must not spoil what was measured before.
 * @param {import('./types.mjs').Contestant} contestant
 * @returns {import('./types.mjs').Contestant}
 */
function withinDeadline({ open, ...rest }) {
  return {
    ...rest,
    open: async (request) => {
      const session = await open(request);
      const deadline = () => new Promise((resolve) => setTimeout(resolve, CLOSE_DEADLINE_MS).unref());
      return { ...session, close: () => Promise.race([session.close(), deadline()]) };
    },
  };
}

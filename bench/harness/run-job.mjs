import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const CHILD = fileURLToPath(new URL('child.mjs', import.meta.url));
const LONGEST_MS = 10 * 60_000;
const KEPT_OUTPUT = 4_000;

/**
 * @param {import('./types.mjs').Job} job
 * @returns {Promise<import('./types.mjs').Measured>} Throws an error with the end of the process's output.
 */
export function runJob(job) {
  const child = fork(CHILD, [JSON.stringify(job)], {
    silent: true,
    timeout: LONGEST_MS,
    env: { ...process.env, NODE_ENV: 'production', KAFKAJS_NO_PARTITIONER_WARNING: '1' },
  });
  let output = '';
  const keep = (/** @type {Buffer} */ chunk) => (output = (output + chunk.toString()).slice(-KEPT_OUTPUT));
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  return new Promise((resolve, reject) => {
    /** @type {import('./types.mjs').Measured | undefined} */
    let measured;
    child.once('message', (message) => (measured = /** @type {import('./types.mjs').Measured} */ (message)));
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (measured) resolve(measured);
      else reject(new Error(`ended with ${signal ?? code} before it had a result. Its last output:\n${output}`));
    });
  });
}

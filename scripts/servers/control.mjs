/**
 * For tests that take a broker away and bring it back: the same server, on the same ports and data.
 *
 *     await kill('kafka', 'SIGKILL');
 *     await startAgain('kafka');
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { composeKill, composeStart } from './containers.mjs';
import { becomesTrue, isAlive, signal, spawnDetached } from './processes.mjs';
import { waitUntilAnswers } from './probes.mjs';
import { readRecord, writeRecord } from './records.mjs';

/**
 * @typedef {'kafka' | 'rabbitmq' | 'postgres'} ServerName
 * @typedef {import('./records.mjs').ServerRecord} ServerRecord
 */

/** n.b. what a killed server leaves behind (PostgreSQL's own processes, say) can stop the first start after it. */
const START_TRIES = 5;

/**
 * Can this server be killed and started again here? Not when its address in the environment is somebody else's.
 * @param {string} name
 */
export function isControllable(name) {
  const record = readRecord(name);
  if (record === undefined) return false;
  return Object.entries(record.env).every(([key, value]) => [undefined, '', value].includes(process.env[key]));
}

/**
 * Resolves when the process is gone.
 * @param {string} name
 * @param {NodeJS.Signals} [signalName]
 */
export async function kill(name, signalName = 'SIGKILL') {
  const record = controlled(name);
  if (record.kind === 'container') return composeKill(name, signalName);
  const ref = { pid: Number(record.pid), startedAt: String(record.startedAt) };
  signal(ref, signalName);
  if (!(await becomesTrue(() => !isAlive(ref), 30_000)))
    throw new Error(`${name} is still there 30 s after ${signalName}.`);
}

/**
 * Resolves when the server answers.
 * @param {string} name
 */
export async function startAgain(name) {
  const record = controlled(name);
  if (record.kind === 'container') {
    await composeStart(name);
    return waitReady(name);
  }
  for (let tries = 1; ; tries++) {
    const { restart } = record;
    if (restart) writeRecord({ ...record, ...(await spawnDetached(restart)) });
    try {
      return await waitReady(name);
    } catch (error) {
      if (tries === START_TRIES) throw error;
      await sleep(500);
    }
  }
}

/**
 * @param {string} name
 * @param {number} [deadlineMs]
 */
export function waitReady(name, deadlineMs) {
  return waitUntilAnswers(controlled(name), deadlineMs);
}

/**
 * @param {string} name
 * @returns {ServerRecord}
 */
function controlled(name) {
  const record = readRecord(name);
  if (record && isControllable(name)) return record;
  throw new Error(
    `${name} was not started by this project, so it cannot be stopped or restarted from here. Start it with: npm run brokers -- up ${name}`,
  );
}

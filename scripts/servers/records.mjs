/** What runs, written down under `.servers/run`, so that another process can find, stop and restart it. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { becomesTrue } from './processes.mjs';

/**
 * @typedef {import('./processes.mjs').ProcessRef} ProcessRef
 * @typedef {import('./processes.mjs').StartCommand} StartCommand
 *
 * @typedef {object} ServerRecord
 * @property {string} name
 * @property {'native' | 'container'} kind
 * @property {Record<string, number>} ports
 * @property {Record<string, string>} env what a client needs, by the names of environment variables
 * @property {number} [pid] native only, as all that follows
 * @property {string} [startedAt]
 * @property {StartCommand} [restart] starts the same server again, on the same ports and data
 * @property {NodeJS.Signals} [stopSignal] what makes it end in good order
 * @property {ProcessRef[]} [helpers] processes that live as long as the server, and survive its restart
 */

export const PROJECT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
export const SERVERS = join(PROJECT, '.servers');
const RUN = join(SERVERS, 'run');

/**
 * @param {string} name
 * @returns {ServerRecord | undefined}
 */
export function readRecord(name) {
  return readJson(recordPath(name));
}

/** @param {ServerRecord} record */
export function writeRecord(record) {
  writeJson(recordPath(record.name), record);
}

/** @param {string} name */
export function removeRecord(name) {
  rmSync(recordPath(name), { force: true });
}

/** @param {string} path */
export function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

/**
 * Written beside and renamed: a reader never sees half a file.
 * @param {string} path
 * @param {unknown} value
 */
export function writeJson(path, value) {
  mkdirSync(dirname(path), { recursive: true });
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(value, null, 2)}\n`);
  renameSync(draft, path);
}

/**
 * One process at a time starts or stops a server; the lock of a process that is gone counts for nothing.
 * @template T
 * @param {string} name
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withLock(name, work) {
  const path = join(RUN, `${name}.lock`);
  mkdirSync(RUN, { recursive: true });
  if (!(await becomesTrue(() => takeLock(path), 10 * 60_000))) {
    throw new Error(
      `${name} is being started or stopped by another process for ten minutes. If there is none, delete ${path}.`,
    );
  }
  try {
    return await work();
  } finally {
    rmSync(path, { force: true });
  }
}

/** @param {string} path */
function takeLock(path) {
  try {
    writeFileSync(path, String(process.pid), { flag: 'wx' });
    return true;
  } catch {
    if (!holderIsAlive(path)) rmSync(path, { force: true });
    return false;
  }
}

/** @param {string} path */
function holderIsAlive(path) {
  try {
    const holder = Number(readFileSync(path, 'utf8'));
    if (holder > 0) process.kill(holder, 0);
    return true;
  } catch (error) {
    // n.b. EPERM: alive, another user's
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM';
  }
}

/** @param {string} name */
function recordPath(name) {
  return join(RUN, `${name}.json`);
}

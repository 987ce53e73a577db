/** A server as a detached process of this machine, with its data under `.servers`. */
import { closeSync, fstatSync, openSync, readSync, rmSync } from 'node:fs';
import { isAlive, spawnDetached, terminate } from './processes.mjs';
import { waitUntilAnswers } from './probes.mjs';
import { readRecord, removeRecord, withLock, writeRecord } from './records.mjs';

/**
 * @typedef {import('./processes.mjs').StartCommand} StartCommand
 * @typedef {import('./records.mjs').ServerRecord} ServerRecord
 *
 * @typedef {object} Prepared
 * @property {Record<string, number>} ports
 * @property {Record<string, string>} env
 * @property {StartCommand} command
 * @property {NodeJS.Signals} [stopSignal] SIGTERM unless given
 * @property {StartCommand[]} [helpers] started before the server
 *
 * @typedef {object} NativeDefinition
 * @property {string} name
 * @property {() => boolean} available are all the needed programs there?
 * @property {() => Promise<void>} install gets what is missing, or throws an error that says how to go on
 * @property {() => Promise<Prepared>} prepare configuration and data folder
 * @property {() => string[]} folders what `wipe` deletes
 *
 * @typedef {object} Server
 * @property {string} name
 * @property {() => boolean} available
 * @property {() => Promise<void>} install
 * @property {() => Promise<boolean>} start true: it was not running before
 * @property {(options?: { wipe?: boolean }) => Promise<boolean>} stop true: it was running; `wipe` deletes its data
 * @property {() => string} status
 * @property {() => Record<string, string> | undefined} env of the running server
 */

/** Bounded: a broker with much data may take long to close it. */
const STOP_DEADLINE_MS = 30_000;

/**
 * @param {NativeDefinition} definition
 * @returns {Server}
 */
export function nativeServer({ name, available, install, prepare, folders }) {
  return {
    name,
    available,
    install,

    start: () =>
      withLock(name, async () => {
        if (isRunning(readRecord(name))) return false;
        await stopAll(readRecord(name));
        await install();
        const { ports, env, command, stopSignal = 'SIGTERM', helpers = [] } = await prepare();
        const helperRefs = await Promise.all(helpers.map(spawnDetached));
        const ref = await spawnDetached(command);
        /** @type {ServerRecord} */
        const record = { name, kind: 'native', ports, env, ...ref, restart: command, stopSignal, helpers: helperRefs };
        writeRecord(record);
        await ready(record, command.log);
        return true;
      }),

    stop: ({ wipe = false } = {}) =>
      withLock(name, async () => {
        const record = readRecord(name);
        const wasRunning = isRunning(record);
        await stopAll(record);
        removeRecord(name);
        if (wipe) for (const folder of folders()) rmSync(folder, { recursive: true, force: true });
        return wasRunning;
      }),

    status: () => {
      const record = readRecord(name);
      return isRunning(record) ? `running (process ${record?.pid})` : record ? 'ended by itself' : 'not running';
    },

    env: () => (isRunning(readRecord(name)) ? readRecord(name)?.env : undefined),
  };
}

/** @param {ServerRecord} [record] */
function isRunning(record) {
  return record?.pid !== undefined && isAlive({ pid: record.pid, startedAt: record.startedAt ?? '' });
}

/**
 * @param {ServerRecord} record
 * @param {string} log
 */
async function ready(record, log) {
  try {
    await waitUntilAnswers(record);
  } catch (error) {
    await stopAll(record);
    removeRecord(record.name);
    const { message } = /** @type {Error} */ (error);
    throw new Error(
      `${message}\nThe end of ${log}:\n${lastLines(log)}\n` +
        `If its data is damaged: npm run brokers -- down --wipe ${record.name}`,
    );
  }
}

/** @param {ServerRecord} [record] */
async function stopAll(record) {
  if (record?.pid !== undefined) {
    const { pid, startedAt = '', stopSignal } = record;
    await terminate({ pid, startedAt }, { deadlineMs: STOP_DEADLINE_MS, stopSignal });
  }
  await Promise.all((record?.helpers ?? []).map((helper) => terminate(helper, { deadlineMs: 5_000 })));
}

/** @param {string} path */
function lastLines(path) {
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    const tail = Buffer.alloc(Math.min(size, 4_000));
    readSync(file, tail, 0, tail.length, size - tail.length);
    return tail.toString().split('\n').slice(-20).join('\n');
  } finally {
    closeSync(file);
  }
}

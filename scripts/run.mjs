/** Programs of this project in the foreground. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { PROJECT } from './servers/records.mjs';

/** How long a program may take to end after it was asked to. */
const END_DEADLINE_MS = 45_000;

/**
 * @typedef {object} Run
 * @property {Promise<number>} exitCode
 * @property {(signal: NodeJS.Signals) => void} interrupt
 */

/**
 * Runs Node on one of the project's files with its output shown here. The process leads a group of its own, so
 * that Ctrl-C reaches it once, by way of `interrupt`, and not its helpers (a database, say) at the same time.
 * @param {string[]} args
 * @param {{ env?: Record<string, string>, wholeGroup?: boolean }} [options] wholeGroup: `interrupt` ends its children too
 * @returns {Run}
 */
export function runNode(args, { env = {}, wholeGroup = false } = {}) {
  const group = process.platform !== 'win32';
  const child = spawn(process.execPath, args, {
    cwd: PROJECT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'inherit', 'inherit'],
    detached: group,
  });
  const send = (/** @type {NodeJS.Signals} */ signal) => {
    try {
      if (group && wholeGroup) process.kill(-Number(child.pid), signal);
      else child.kill(signal);
    } catch {
      // it is gone
    }
  };
  return {
    exitCode: new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => {
        if (wholeGroup) send('SIGKILL'); // what it left behind
        resolve(code ?? (signal === 'SIGINT' ? 130 : 143));
      });
    }),
    interrupt: (signal) => {
      send(signal);
      setTimeout(() => send('SIGKILL'), END_DEADLINE_MS).unref();
    },
  };
}

/**
 * @param {(signal: NodeJS.Signals) => void} handler for Ctrl-C, `kill` and a closed terminal
 */
export function onInterrupt(handler) {
  process.on('SIGINT', () => handler('SIGINT'));
  process.on('SIGTERM', () => handler('SIGTERM'));
  process.on('SIGHUP', () => handler('SIGTERM'));
}

/** @param {string} path in node_modules */
export function nodeModule(path) {
  return join(PROJECT, 'node_modules', path);
}

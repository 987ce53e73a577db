/**
 * Detached processes: started with a log file, found again by pid *and* start time (pids are reused),
 * ended by that pid only.
 */
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * @typedef {{ pid: number, startedAt: string }} ProcessRef
 * @typedef {{ command: string, args: string[], env: Record<string, string>, cwd: string, uid?: number, gid?: number, log: string }} StartCommand
 */

/**
 * @param {StartCommand} start `env` is added to the environment of this process
 * @returns {Promise<ProcessRef>}
 */
export async function spawnDetached({ command, args, env, cwd, uid, gid, log }) {
  mkdirSync(dirname(log), { recursive: true });
  const output = openSync(log, 'a');
  try {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      detached: true,
      stdio: ['ignore', output, output],
      ...(uid === undefined ? {} : { uid, gid }),
    });
    await new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject));
    child.unref();
    const pid = /** @type {number} */ (child.pid);
    return { pid, startedAt: startTime(pid) ?? '' };
  } finally {
    closeSync(output);
  }
}

/** @param {ProcessRef} ref */
export function isAlive({ pid, startedAt }) {
  return startTime(pid) === startedAt && startedAt !== '';
}

/**
 * Asks the process to end, and ends it with SIGKILL when it is still there after the deadline.
 * @param {ProcessRef} ref
 * @param {{ deadlineMs: number, stopSignal?: NodeJS.Signals }} options
 */
export async function terminate(ref, { deadlineMs, stopSignal = 'SIGTERM' }) {
  signal(ref, stopSignal);
  if (await becomesTrue(() => !isAlive(ref), deadlineMs)) return;
  signal(ref, 'SIGKILL');
  await becomesTrue(() => !isAlive(ref), 10_000);
}

/**
 * @param {ProcessRef} ref
 * @param {NodeJS.Signals} name
 */
export function signal(ref, name) {
  if (isAlive(ref)) process.kill(ref.pid, name);
}

/**
 * @param {() => boolean | Promise<boolean>} condition
 * @param {number} deadlineMs
 */
export async function becomesTrue(condition, deadlineMs) {
  const end = performance.now() + deadlineMs;
  for (;;) {
    if (await condition()) return true;
    if (performance.now() > end) return false;
    await sleep(50);
  }
}

/**
 * Free ports on 127.0.0.1 below the range that outgoing connections are given: a client that reconnects to a
 * stopped server on such a port could otherwise take the port, or even connect to itself.
 * @param {string[]} names
 * @param {Record<string, number>} [preferred] used again as long as all of them are free
 * @returns {Promise<Record<string, number>>}
 */
export async function choosePorts(names, preferred = {}) {
  const known = names.every((name) => preferred[name] !== undefined);
  if (known && (await Promise.all(names.map((name) => isFree(preferred[name] ?? 0)))).every(Boolean)) return preferred;
  /** @type {Set<number>} */
  const chosen = new Set();
  while (chosen.size < names.length) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    if (await isFree(port)) chosen.add(port);
  }
  return Object.fromEntries([...chosen].map((port, index) => [names[index], port]));
}

/** @param {number} port */
function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/**
 * When a process began, as text that only has to be comparable. Undefined: there is none, or only its zombie.
 * @param {number} pid
 */
function startTime(pid) {
  try {
    if (process.platform !== 'linux') {
      return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim() || undefined;
    }
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' '); // n.b. the command's name may hold spaces
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

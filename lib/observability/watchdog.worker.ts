/** What the two threads share: numbers, by their place. */
export const BEATS = 0;
/** 0: the loop is not blocked. Else 1 and the number of the handler that had begun last. */
export const BLOCKED = 1;
export const DEBUGGED = 2;
/** The number of the handler that began last, from 1; 0: none has. */
export const BEGUN_LAST = 3;
export const CELLS = 4;

export interface WatchdogTask {
  readonly cells: Int32Array;
  readonly tickMs: number;
  readonly blockedMs: number;
  readonly endProcess: boolean;
  /** Their names, by number from 1. */
  readonly handlers: readonly string[];
}

/**
 * The thread's code, as text: a file of its own would be lost in a bundle. It writes to stderr by itself, because the
 * other thread's streams stand still while that is blocked. If its own tick came late, the whole process stood still
 * (suspended, or without a CPU), and that says nothing about the loop.
 */
export const WATCHDOG_SOURCE = `
const { workerData } = require('node:worker_threads');
const { writeSync } = require('node:fs');
const { cells, tickMs, blockedMs, endProcess, handlers } = workerData;
let beats = -1, aliveAt = 0, told = false, tickedAt = performance.now();
setInterval(() => {
  const now = performance.now(), late = now - tickedAt - tickMs, beatsNow = Atomics.load(cells, ${BEATS});
  tickedAt = now;
  if (beatsNow !== beats || late > blockedMs / 2 || Atomics.load(cells, ${DEBUGGED}) === 1) {
    beats = beatsNow;
    aliveAt = now;
    told = false;
    return;
  }
  const forMs = Math.round(now - aliveAt);
  if (told || forMs < blockedMs) return;
  told = true;
  const begunLast = Atomics.load(cells, ${BEGUN_LAST}), last = handlers[begunLast - 1];
  Atomics.store(cells, ${BLOCKED}, 1 + begunLast);
  const who = last === undefined ? '' : ' The handler that began last is ' + last + '.';
  const end = endProcess ? ' The process is ended (watchdog.endProcess).' : ' It is still blocked.';
  try {
    writeSync(2, '[nestjs-events] EVENTS_EVENT_LOOP_BLOCKED: nothing else could run for ' + forMs + ' ms.' + who + end + '\\n');
  } catch {}
  if (endProcess) process.kill(process.pid, 'SIGKILL');
}, tickMs);
`;

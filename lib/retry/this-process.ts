import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { performance } from 'node:perf_hooks';

/** A process as others find it. */
export interface ProcessIdentity {
  readonly host: string;
  readonly pid: number;
  /** When the operating system's process began, in milliseconds since the Unix epoch: a pid is given out again. */
  readonly origin: number;
}

/** One application in a process: there may be several. */
export interface AppIdentity extends ProcessIdentity {
  readonly id: string;
}

export function thisProcess(): AppIdentity {
  return { id: randomUUID(), host: hostname(), pid: process.pid, origin: Math.round(performance.timeOrigin) };
}

/** Whether another process has ended for sure, as far as this one can see: `undefined` of another host. */
export function hasEnded(other: ProcessIdentity, self: ProcessIdentity): boolean | undefined {
  if (other.host !== self.host) return undefined;
  // In a container each life has the same pid, mostly 1.
  if (other.pid === self.pid) return other.origin !== self.origin;
  return isAlive(other.pid) ? undefined : true;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'; // it belongs to somebody else
  }
}

/** When the event loop is taken for blocked, and what follows. */
export interface WatchdogOptions {
  /** How long nothing else could run, in milliseconds. Default 10,000. */
  readonly blockedMs: number;
  /** Whether the process is ended then (SIGKILL: nothing gentler reaches a blocked loop). Default false: it is only reported. */
  readonly endProcess: boolean;
}

export const DEFAULT_WATCHDOG: WatchdogOptions = { blockedMs: 10_000, endProcess: false };

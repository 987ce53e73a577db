import { AssertionError } from 'node:assert';
import { setTimeout as sleep } from 'node:timers/promises';

/** How long anything in a contract may take. A store that hangs fails its case; it does not hang the test run. */
const LIMIT_MS = 10_000;

/** Something that happens when the test says so. */
export class Gate {
  #open = (): void => undefined;
  readonly opened = new Promise<void>((resolve) => (this.#open = resolve));

  open(): void {
    this.#open();
  }
}

/** A gate that is open at the end, whatever came of the work: what a failed case leaves behind must come to its end. */
export async function withGate(work: (gate: Gate) => Promise<void>): Promise<void> {
  const gate = new Gate();
  try {
    await work(gate);
  } finally {
    gate.open();
  }
}

/** The result of `work`, or an AssertionError when it takes longer than the limit. */
export async function inTime<T>(work: Promise<T>, what: string, limitMs = LIMIT_MS): Promise<T> {
  const stop = new AbortController();
  // A case that failed leaves calls behind: they must not keep the process alive.
  const late = sleep(limitMs, undefined, { signal: stop.signal, ref: false }).then(() => {
    throw new AssertionError({ message: `${what} took longer than ${limitMs} ms` });
  });
  late.catch(() => undefined);
  try {
    return await Promise.race([work, late]);
  } finally {
    stop.abort();
  }
}

/** Gives what is under way the time to go wrong: two that must not run at the same time would be seen doing so. */
export async function aWhile(): Promise<void> {
  await sleep(150);
}

import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';

export interface EventuallyOptions {
  /** Default 20,000: a broker under load may take its time, a test that passes does not. */
  readonly deadlineMs?: number;
  /** What is waited for, for the message when it does not come. */
  readonly what?: string;
}

type Present<T> = Exclude<T, false | null | undefined>;

const POLL_MS = 5;

/**
 * Waits for a condition: resolves with the first value of `probe` that is not `false`, `null` or `undefined`; an
 * assertion that throws counts as "not yet". Rejects at the deadline with what was seen last.
 */
export async function eventually<T>(
  probe: () => T | Promise<T>,
  { deadlineMs = 20_000, what = 'the condition' }: EventuallyOptions = {},
): Promise<Present<T>> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const seen = await look(probe);
    if ('value' in seen && seen.value !== false && seen.value !== null && seen.value !== undefined)
      return seen.value as Present<T>;
    if (performance.now() >= deadline) {
      const last = 'error' in seen ? seen.error : inspect(seen.value);
      throw new Error(`${what} did not come within ${deadlineMs} ms; last seen: ${String(last)}`, { cause: last });
    }
    await sleep(POLL_MS);
  }
}

async function look<T>(probe: () => T | Promise<T>): Promise<{ value: T } | { error: unknown }> {
  try {
    return { value: await probe() };
  } catch (error) {
    return { error };
  }
}

/** A door that handlers wait at until the test opens it. */
export class Gate {
  readonly passed: Promise<void>;
  open: () => void = () => undefined;

  constructor() {
    this.passed = new Promise((resolve) => (this.open = resolve));
  }
}

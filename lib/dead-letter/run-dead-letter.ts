import type { RedriveOutcome } from '../core/activity.js';
import type { DeadLetter } from '../core/dead-letter.js';

/** What became of a dead letter that its handler was given again. */
export interface RedriveEnd {
  readonly result: RedriveOutcome;
  /** How it failed this time. */
  readonly failure?: DeadLetter;
}

/** Hands a dead letter to its handler in this process; `undefined`: the process ends first, and nothing is decided. */
export type RunDeadLetter = (letter: DeadLetter) => Promise<RedriveEnd | undefined>;

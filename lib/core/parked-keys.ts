import type { DeadLetter } from './dead-letter.js';

/** Keys that a dead letter holds back (`afterDeadLetter: 'park-key'`), for all instances of a group. */
export interface ParkedKeys {
  /** Keeps the dead letter and holds its key back, durably and together. Writing it again changes nothing. */
  park(letter: DeadLetter): Promise<void>;
  /** If the letter's key is held back, keeps it behind those that are, durably, and resolves `true`; else does nothing. */
  follow(letter: DeadLetter): Promise<boolean>;
}

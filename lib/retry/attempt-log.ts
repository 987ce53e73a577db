import type { StoreEnvironment } from '../core/store.js';

/** One attempt that may end the process. */
export interface LoggedAttempt {
  /** `<group>.<handler id>`. */
  readonly consumer: string;
  /** What tells the event from others: see `deadLetterId`. */
  readonly delivery: string;
}

/** Which processes have ended without saying so, and which attempts were running when they did. */
export interface AttemptLog {
  prepare(): Promise<void>;
  /**
   * Says that this process runs, from now until {@link close}. Resolves with how many others of the service have ended
   * uncleanly and were not looked after yet.
   */
  open(service: string): Promise<number>;
  /** Durably, before the attempt: resolves with how many attempts of it began and ended with their process. */
  begin(attempt: LoggedAttempt): Promise<number>;
  /** The attempt has ended, well or not: the process lives. */
  end(attempt: LoggedAttempt): Promise<void>;
  /** The delivery has come to its end: the attempts of ended processes count no more. */
  forget(attempt: LoggedAttempt): Promise<void>;
  /** What {@link open} has found was looked after. */
  lookedAfter(): Promise<void>;
  /** Says that this process ends as it should. */
  close(): Promise<void>;
  /** Lets go of the database. */
  release(): void;
}

/** What `typeormAttempts()` and its likes return: options, nothing started. */
export interface AttemptLogDefinition {
  create(environment: StoreEnvironment): AttemptLog;
}

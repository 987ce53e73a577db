/** Marks the outcomes of this library, so that no value a handler returns is mistaken for one. */
const OUTCOME = Symbol.for('nestjs-events.outcome');

interface Marked {
  readonly [OUTCOME]: true;
}

/** Done: handled, seen before, nobody here to handle it, or kept behind a dead letter of its key. */
export type AckOutcome = Marked & {
  readonly kind: 'ack';
  readonly reason: 'handled' | 'duplicate' | 'unhandled' | 'parked';
};

/** Again, after a wait. */
export type RetryOutcome = Marked & {
  readonly kind: 'retry';
  readonly afterMs: number;
  readonly error: unknown;
  /** A broken dependency: the handler's breaker opens. */
  readonly dependency: boolean;
  /** Whether the attempt is used up. Not by a broken dependency, nor by a conflict with another transaction. */
  readonly counts: boolean;
};

/** No more attempts: write it to the dead letters, then acknowledge. */
export type DeadLetterOutcome = Marked & {
  readonly kind: 'deadLetter';
  readonly error: unknown;
  /** How often it was tried, where others have done it. */
  readonly attempts?: number;
};

/** Acknowledge without an effect, on purpose; counted and reported with its reason. */
export type DropOutcome = Marked & {
  readonly kind: 'drop';
  readonly reason: string;
  /** The failure that it follows by a rule. Absent when a handler drops by itself. */
  readonly error?: unknown;
};

/** The decision after an attempt. */
export type Outcome = AckOutcome | RetryOutcome | DeadLetterOutcome | DropOutcome;
/** An outcome that ends the delivery. */
export type FinalOutcome = Exclude<Outcome, RetryOutcome>;

export const outcome = {
  ack: (reason: AckOutcome['reason'] = 'handled'): AckOutcome => ({ [OUTCOME]: true, kind: 'ack', reason }),
  retry: (error: unknown, options: { afterMs: number; dependency?: boolean; counts?: boolean }): RetryOutcome => ({
    [OUTCOME]: true,
    kind: 'retry',
    error,
    afterMs: options.afterMs,
    dependency: options.dependency ?? false,
    counts: options.counts ?? options.dependency !== true,
  }),
  deadLetter: (error: unknown, tried: { attempts?: number } = {}): DeadLetterOutcome => ({
    [OUTCOME]: true,
    kind: 'deadLetter',
    error,
    ...tried,
  }),
  drop: (reason: string, error?: unknown): DropOutcome => ({
    [OUTCOME]: true,
    kind: 'drop',
    reason,
    ...(error === undefined ? {} : { error }),
  }),
};

export function isOutcome(value: unknown): value is Outcome {
  return typeof value === 'object' && value !== null && (value as Partial<Marked>)[OUTCOME] === true;
}

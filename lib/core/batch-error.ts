import { messageOf } from './errors.js';

/** What was wrong with one event of a batch. */
export interface BatchFailure {
  /** Its index among the envelopes that the handler was given. */
  readonly index: number;
  readonly error: unknown;
}

/**
 * Thrown by a batch handler that knows which events are at fault: `throw new BatchError([{ index: 3, error }])`. Each of
 * them is retried, or becomes a dead letter, for its own error; the others run again at once, without them.
 */
export class BatchError extends AggregateError {
  override readonly name = 'BatchError';

  constructor(readonly failures: readonly BatchFailure[]) {
    super(
      failures.map(({ error }) => error),
      failures.map(({ index, error }) => `[${index}] ${messageOf(error)}`).join('; '),
    );
  }
}

import { EventsError } from '../core/errors.js';

/** How long something may wait for a savepoint beside it. Only code that waits for itself comes here. */
export const MAX_WAIT_MS = 30_000;

export function transactionEnded(): EventsError {
  return new EventsError('EVENTS_TRANSACTION_ENDED', 'the transaction this code ran in is over', {
    remedy:
      'Await everything a handler starts before it returns; wrap what is to go on without the transaction in outsideTransaction().',
  });
}

export function transactionBusy(): EventsError {
  return new EventsError(
    'EVENTS_TRANSACTION_BUSY',
    `a nested transaction of the same handler has not ended within ${MAX_WAIT_MS / 1000} s`,
    {
      remedy:
        'Nested transactions take turns: do not wait inside one for work begun outside it, and use transaction(callback) rather than startTransaction().',
    },
  );
}

export function transactionAborted(cause: unknown): EventsError {
  return new EventsError(
    'EVENTS_TRANSACTION_ABORTED',
    'the transaction could not be committed, because one of its statements had failed',
    {
      cause,
      remedy:
        'PostgreSQL undoes the whole transaction after a failed statement, also when the error was caught: put a statement that may fail into a nested dataSource.transaction().',
    },
  );
}

import { EventsError } from '../core/errors.js';

export function outboxMissing(what: string, event?: string): EventsError {
  return new EventsError('EVENTS_OUTBOX_MISSING', `${what} needs an outbox`, {
    event,
    remedy: 'Configure outbox: typeormOutbox() in EventsModule.forRoot.',
  });
}

export function transactionRequired(problem: string): EventsError {
  return new EventsError('EVENTS_TRANSACTION_REQUIRED', `the event cannot be enrolled: ${problem}`, {
    remedy:
      'Pass the manager that dataSource.transaction(async (manager) => …) gives you, or queryRunner.manager after startTransaction(); or wrap the code in eventBus.transactional(() => …).',
  });
}

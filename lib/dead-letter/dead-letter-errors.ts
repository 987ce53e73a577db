import { EventsError } from '../core/errors.js';
import type { StoredDeadLetter } from './dead-letter-store.js';

export function letterNotFound(id: string): EventsError {
  return new EventsError('EVENTS_DEAD_LETTER_NOT_FOUND', `there is no dead letter ${JSON.stringify(id)}`, {
    remedy: 'List those that there are; it may have been redriven or discarded meanwhile.',
  });
}

export function wrongState({
  id,
  state,
  event,
  handler,
}: Pick<StoredDeadLetter, 'id' | 'state'> & Partial<Pick<StoredDeadLetter, 'event' | 'handler'>>): EventsError {
  const remedy =
    state === 'following'
      ? 'It follows an earlier dead letter of its key: redrive or discard that one first.'
      : 'Only those that are waiting can be redriven, edited or discarded.';
  return new EventsError('EVENTS_DEAD_LETTER_STATE', `the dead letter ${id} is ${state}`, { event, handler, remedy });
}

export function redriveNotFound(id: string): EventsError {
  return new EventsError('EVENTS_REDRIVE_NOT_FOUND', `there is no redrive ${JSON.stringify(id)}`, {
    remedy: 'Use the id that redrive() returned. Without a store only the process that began it knows it.',
  });
}

import { EventsError } from '../core/errors.js';
import { isRfc3339 } from '../core/rfc3339.js';

export interface DelayOptions {
  /**
   * Publish it so many milliseconds later, at most ten years; never earlier. It leaves the order of its key: what is
   * published meanwhile does not wait for it. Needs an outbox. Default 0: at once.
   */
  readonly delayMs?: number;
  /** The same for a point in time: a Date, or a text in RFC 3339. */
  readonly notBefore?: Date | string;
}

/** As the outbox takes it: one of the two, or none. */
export interface Delay {
  readonly delayMs?: number;
  readonly notBefore?: Date;
}

const LONGEST_DELAY_MS = 10 * 366 * 24 * 3_600_000;

/** What was asked for, checked; `undefined` for an event that is to go at once. Throws EVENTS_DELAY_INVALID. */
export function delayOf({ delayMs, notBefore }: DelayOptions, event: string): Delay | undefined {
  if (delayMs !== undefined && notBefore !== undefined)
    throw invalid('delayMs and notBefore exclude each other', event);
  if (notBefore !== undefined) return { notBefore: time(notBefore, event) };
  if (delayMs === undefined || delayMs === 0) return undefined;
  if (!Number.isInteger(delayMs) || delayMs < 0 || delayMs > LONGEST_DELAY_MS) {
    throw invalid('delayMs must be a whole number of milliseconds from 0 to ten years', event);
  }
  return { delayMs };
}

export function delayUnsupported(event: string): EventsError {
  return new EventsError('EVENTS_DELAY_UNSUPPORTED', 'without an outbox an event cannot be published later', {
    event,
    remedy: 'Configure outbox: typeormOutbox() in EventsModule.forRoot, or publish without delayMs and notBefore.',
  });
}

function time(value: unknown, event: string): Date {
  if (value instanceof Date && !Number.isNaN(value.getTime())) return new Date(value);
  if (typeof value === 'string' && isRfc3339(value)) return new Date(value);
  throw invalid('notBefore must be a valid Date, or a text like 2030-01-31T09:00:00Z', event);
}

function invalid(problem: string, event: string): EventsError {
  return new EventsError('EVENTS_DELAY_INVALID', problem, {
    event,
    remedy: 'Give publish() either { delayMs: 60_000 } or { notBefore: date }.',
  });
}

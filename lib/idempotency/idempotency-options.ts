import { EventsError } from '../core/errors.js';
import { ON_MISSING_ID, type OnMissingId } from '../core/missing-id.js';

/** What every store takes. */
export interface IdempotencyOptions {
  /** How long a simultaneous second delivery of an event waits for the first, in milliseconds. Default 5,000. */
  readonly waitMs?: number;
  /**
   * What becomes of an event whose publisher gave it no id: `dead-letter` (default); `hash`: its id is derived from
   * source, name, key and body, so that **the same content twice is one event**; `handle`: each delivery counts as new.
   */
  readonly onMissingId?: OnMissingId;
}

export const DEFAULT_WAIT_MS = 5_000;

/** Throws EVENTS_OPTIONS_INVALID. `own`: the options that this factory takes besides. */
export function checkIdempotencyOptions(factory: string, options: IdempotencyOptions, own: readonly string[]): void {
  const { waitMs, onMissingId } = options;
  for (const name of Object.keys(options)) {
    if (!own.includes(name) && name !== 'waitMs' && name !== 'onMissingId') {
      throw optionInvalid(`${factory}: ${name} is not an option`);
    }
  }
  if (waitMs !== undefined && !(Number.isSafeInteger(waitMs) && waitMs > 0)) {
    throw optionInvalid(`${factory}: waitMs must be a whole number above 0`);
  }
  checkOneOf(`${factory}: onMissingId`, onMissingId, ON_MISSING_ID);
}

/** Throws EVENTS_OPTIONS_INVALID for a value that is given and none of those allowed. */
export function checkOneOf(path: string, value: unknown, allowed: readonly string[]): void {
  if (value === undefined || allowed.includes(value as string)) return;
  throw optionInvalid(`${path} must be one of ${allowed.map((each) => `"${each}"`).join(', ')}`);
}

function optionInvalid(problem: string): EventsError {
  return new EventsError('EVENTS_OPTIONS_INVALID', problem, { remedy: 'Correct it where the module is configured.' });
}

import { EventsError } from '../core/errors.js';
import { rangeProblems } from '../core/ranges.js';
import type { TypeormStoreOptions } from '../typeorm/store-database.js';
import type { RelaySettings } from './outbox-store.js';

export interface TypeormOutboxOptions extends TypeormStoreOptions {
  /** How long the relay waits before it looks again when nothing called for it, in milliseconds. Default 500. */
  readonly pollMs?: number;
  /** How many events the relay takes at a time, 1 to 10,000. Default 1,000. */
  readonly batchSize?: number;
  /** An event that could not be published so often is parked: taken out, with an alarm, and its key goes on. Default 10. */
  readonly parkAfter?: number;
  /** Keep published events for so many days, 1 to 36,500. Default: they are deleted. The same for all who relay this outbox. */
  readonly keepDays?: number;
  /**
   * Tell relays in other processes of each commit with NOTIFY, rather than let them poll. Costs each such commit a lock
   * of the whole database, and each relay a connection. Default false.
   */
  readonly notify?: boolean;
  /** `false`: this application only enrols, another one relays. Default true. */
  readonly relay?: boolean;
}

export interface ResolvedTypeormOutbox {
  readonly keepDays: number | undefined;
  readonly notify: boolean;
  readonly relay: RelaySettings | false;
}

const RANGES = {
  pollMs: [1, 3_600_000],
  batchSize: [1, 10_000],
  parkAfter: [1, 1_000_000],
  keepDays: [1, 36_500],
} as const;
const SWITCHES = ['notify', 'relay', 'migrate'] as const;
const KNOWN = new Set<string>([...Object.keys(RANGES), ...SWITCHES, 'dataSource', 'schema']);

/** Throws EVENTS_OPTIONS_INVALID, which names every mistake. */
export function resolveTypeormOutbox(options: TypeormOutboxOptions): ResolvedTypeormOutbox {
  const problems = [...problemsOf(options)];
  if (problems.length > 0) {
    throw new EventsError(
      'EVENTS_OPTIONS_INVALID',
      `the options of typeormOutbox() are wrong: ${problems.join('; ')}`,
      {
        remedy: 'Correct the options named, for example typeormOutbox({ keepDays: 7 }).',
      },
    );
  }
  const { keepDays, notify = false, relay = true, pollMs, batchSize, parkAfter } = options;
  return { keepDays, notify, relay: relay && { pollMs, batchSize, parkAfter } };
}

function* problemsOf(options: TypeormOutboxOptions): Generator<string, void> {
  if (typeof options !== 'object' || options === null) {
    yield 'they are not an object';
    return;
  }
  for (const name of Object.keys(options)) if (!KNOWN.has(name)) yield `${name} is not an option`;
  yield* rangeProblems(options, RANGES);
  for (const name of SWITCHES) {
    if (options[name] !== undefined && typeof options[name] !== 'boolean') yield `${name} must be true or false`;
  }
}

import { EventsError } from '../core/errors.js';
import { rangeProblems } from '../core/ranges.js';

export interface RetentionOptions {
  /** How long a handled event is remembered, 1 to 36,500 days. Default 7. */
  readonly days?: number;
  /** How often what is older is looked for, give or take a tenth, in milliseconds. Default 600,000. */
  readonly everyMs?: number;
  /** How many rows one short transaction deletes. Default 5,000. */
  readonly batchSize?: number;
  /** `day`: a partition for each day, which is dropped whole; for hundreds of events a second and more. Default: one table. */
  readonly partitionBy?: 'day';
}

export interface ResolvedRetention {
  readonly days: number;
  readonly everyMs: number;
  readonly batchSize: number;
  readonly byDay: boolean;
}

export const DAY_MS = 24 * 3_600_000;

const DEFAULTS: ResolvedRetention = { days: 7, everyMs: 600_000, batchSize: 5_000, byDay: false };
const RANGES = { days: [1, 36_500], everyMs: [1, DAY_MS], batchSize: [1, 100_000] } as const;

/** `false`: nothing is ever forgotten. Throws EVENTS_OPTIONS_INVALID, which names every mistake. */
export function resolveRetention(options: RetentionOptions | false = {}): ResolvedRetention | undefined {
  if (options === false) return undefined;
  const problems = rangeProblems(options, RANGES, 'retention.');
  const { partitionBy } = options;
  if (partitionBy !== undefined && partitionBy !== 'day') problems.push('retention.partitionBy must be "day"');
  if (problems.length > 0) {
    throw new EventsError('EVENTS_OPTIONS_INVALID', problems.join('; '), {
      remedy: 'Correct it in typeormIdempotency({ retention }); false keeps everything for ever.',
    });
  }
  return {
    days: options.days ?? DEFAULTS.days,
    everyMs: options.everyMs ?? DEFAULTS.everyMs,
    batchSize: options.batchSize ?? DEFAULTS.batchSize,
    byDay: partitionBy === 'day',
  };
}

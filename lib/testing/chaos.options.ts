import { randomInt } from 'node:crypto';
import { EventsError } from '../core/errors.js';

/**
 * What can go wrong, each with the share of events it happens to, from 0 to 1.
 */
export interface ChaosShares {
  /** The event comes twice: a publisher that missed its confirmation has sent it again. Default 0.1. */
  readonly duplicate: number;
  /** Events of other keys overtake it, as they do across partitions, queues and instances; those of its own never. Default 0.2. */
  readonly reorder: number;
  /** It is late, and keeps its place meanwhile: a slow network, a pause of the process. Default 0.1. */
  readonly delay: number;
  /**
   * The work is done, but the process or its connection dies before the acknowledgement: the event comes again, with
   * `redelivered: true`, before what follows it in its key. Default 0.1.
   */
  readonly failBeforeAck: number;
  /**
   * The acknowledgement has reached the broker, then the connection dies: the event does not come again, its delivery counts
   * as lost, and its key goes on when the consumer is back. Default 0.05.
   */
  readonly failAfterAck: number;
  /** publish() rejects, and nothing was sent: the broker is away. Default 0.05. */
  readonly failBeforeSend: number;
  /** publish() rejects though the broker has the event: its confirmation was lost. Default 0.05. */
  readonly failAfterConfirm: number;
}

export type ChaosFault = keyof ChaosShares;

export interface ChaosOptions extends Partial<ChaosShares> {
  /** A whole number from 0 on. Default: the environment variable CHAOS_SEED, else one drawn at random. */
  readonly seed?: number;
  /** How late an event is at most, in milliseconds. Default 20. */
  readonly maxDelayMs?: number;
}

export interface ResolvedChaosOptions {
  readonly seed: number;
  readonly maxDelayMs: number;
  readonly shares: ChaosShares;
}

const DEFAULT_SHARES: ChaosShares = {
  duplicate: 0.1,
  reorder: 0.2,
  delay: 0.1,
  failBeforeAck: 0.1,
  failAfterAck: 0.05,
  failBeforeSend: 0.05,
  failAfterConfirm: 0.05,
};
const DEFAULT_MAX_DELAY_MS = 20;
/** Short enough to be typed. */
const SEEDS = 1_000_000_000;

export const CHAOS_FAULTS = Object.keys(DEFAULT_SHARES) as ChaosFault[];

/** Defaults filled in. Throws EVENTS_OPTIONS_INVALID, which names every mistake. */
export function resolveChaosOptions(options: ChaosOptions): ResolvedChaosOptions {
  const { maxDelayMs = DEFAULT_MAX_DELAY_MS } = options;
  const shares = Object.fromEntries(
    CHAOS_FAULTS.map((fault) => [fault, options[fault] ?? DEFAULT_SHARES[fault]]),
  ) as unknown as ChaosShares;
  const problems = CHAOS_FAULTS.filter((fault) => !(shares[fault] >= 0 && shares[fault] <= 1)).map(
    (fault) => `${fault} is ${shares[fault]}, no share from 0 to 1`,
  );
  if (!Number.isFinite(maxDelayMs) || maxDelayMs < 0) problems.push(`maxDelayMs is ${maxDelayMs}, no time`);
  if (problems.length > 0) throw invalid(problems.join('; '), 'Correct them where chaos() is called.');
  return { seed: chaosSeed(options.seed), maxDelayMs, shares };
}

/** The seed given, that of the environment, or a new one. Throws EVENTS_OPTIONS_INVALID for what is no seed. */
export function chaosSeed(given?: number): number {
  const fromEnvironment = process.env['CHAOS_SEED'];
  if (given === undefined && (fromEnvironment === undefined || fromEnvironment === '')) return randomInt(SEEDS);
  const seed = given ?? Number(fromEnvironment);
  if (Number.isSafeInteger(seed) && seed >= 0) return seed;
  throw invalid(
    `the seed ${JSON.stringify(given ?? fromEnvironment)} is no whole number from 0 on`,
    'Give chaos() the seed that a failed run has printed, or set CHAOS_SEED to it.',
  );
}

function invalid(problem: string, remedy: string): EventsError {
  return new EventsError('EVENTS_OPTIONS_INVALID', `the options of chaos() are wrong: ${problem}`, { remedy });
}

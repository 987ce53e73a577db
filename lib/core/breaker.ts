import type { BreakerState } from './activity.js';
import type { Limit } from './limit.js';
import type { Outcome } from './outcome.js';
import type { Subscription } from './subscription.js';

/** Pauses one handler while something it needs is away. */
export interface Breaker {
  /** How many of its deliveries, or batches, may run: open none, half-open one, closed any number. */
  readonly limit: Limit;
  /** How long nothing may start from now on, in milliseconds. */
  readonly openForMs: number;
  /**
   * Takes note of how an attempt that began at `startedAt` has ended. Returns the same outcome; a retry that the breaker
   * holds back longer comes back with the wait that it will really have.
   */
  after<T extends Outcome>(decided: T, startedAt: number): T;
}

/** What can be told about a handler's breaker. */
export interface BreakerStatus {
  readonly group: string;
  readonly handler: string;
  readonly state: BreakerState;
  /** When it came into this state. Milliseconds since the Unix epoch. */
  readonly since: number;
  /** What opened it last, while it is not closed. */
  readonly error?: unknown;
}

/** The breakers of one application: one for each handler of a group, whichever transports its events come from. */
export interface Breakers {
  of(subscription: Subscription): Breaker;
  all(): readonly BreakerStatus[];
  /** Stops their timers. What is open stays open. */
  close(): void;
}

import type { Place } from './delivery.js';

interface About {
  readonly event: string;
  readonly id: string;
  readonly transport: string;
}
interface AboutHandler extends Partial<About> {
  readonly handler: string;
  readonly group: string;
}

/** Of a handler's circuit breaker. `open`: nothing starts. `half-open`: one event tries. `closed`: all is well. */
export type BreakerState = 'closed' | 'open' | 'half-open';
/** What became of a dead letter that was redriven. `failed`: it is one again. */
export type RedriveOutcome = 'handled' | 'duplicate' | 'dropped' | 'failed';

/** What happens inside, as it happens: logs, metrics, traces and the application itself build on it. */
export type Activity =
  | ({ readonly type: 'published' } & About)
  | ({ readonly type: 'enrolled' } & Omit<About, 'transport'>)
  | ({ readonly type: 'unroutable' } & About)
  | ({ readonly type: 'handled'; readonly tookMs: number; readonly attempt: number } & AboutHandler)
  | ({ readonly type: 'duplicate' } & AboutHandler)
  | ({
      readonly type: 'retried';
      readonly attempt: number;
      readonly afterMs: number;
      readonly dependency: boolean;
      /** Whether the attempt was used up. */
      readonly counts: boolean;
      readonly error: unknown;
    } & AboutHandler)
  | ({
      readonly type: 'dead-lettered';
      readonly attempt: number;
      readonly error: unknown;
      readonly data?: unknown;
    } & AboutHandler)
  | ({ readonly type: 'dead-letter-failed'; readonly error: unknown } & AboutHandler)
  | ({ readonly type: 'dropped'; readonly reason: string } & AboutHandler)
  /** Kept behind a dead letter of its key. */
  | ({ readonly type: 'parked' } & AboutHandler)
  /** A dead letter was handed to its handler again. */
  | ({ readonly type: 'redriven'; readonly letter: string; readonly result: RedriveOutcome } & AboutHandler)
  | { readonly type: 'dead-letters-discarded'; readonly count: number; readonly by: string }
  /** An `@OnDeadLetter` method threw until it was given up. */
  | ({ readonly type: 'dead-letter-handler-failed'; readonly letter: string; readonly error: unknown } & AboutHandler)
  /** Dead letters were brought from a broker into the database. */
  | {
      readonly type: 'dead-letters-collected';
      readonly transport: string;
      readonly group: string;
      readonly count: number;
    }
  | {
      readonly type: 'breaker';
      readonly handler: string;
      readonly group: string;
      readonly state: BreakerState;
      /** Since the first failure of this outage, in milliseconds; when it closes, how long it lasted. */
      readonly forMs: number;
      readonly error?: unknown;
    }
  /** A partition's or queue's window is full, mostly of deliveries that wait for a retry: nothing more is taken from it. */
  | {
      readonly type: 'intake-paused' | 'intake-resumed';
      readonly transport: string;
      readonly group: string;
      /** Topic and partition, or queue. */
      readonly place: string;
    }
  /** So many earlier processes ended without saying so: what they had in flight runs one at a time until it is through. */
  | { readonly type: 'unclean-stop'; readonly processes: number }
  | { readonly type: 'event-loop-blocked'; readonly blockedMs: number }
  | ({ readonly type: 'released' } & AboutHandler)
  | { readonly type: 'unhandled'; readonly event: string; readonly group: string; readonly place: Place }
  /** Of events handled so long ago that they need not be remembered: rows deleted, whole days dropped. */
  | { readonly type: 'cleaned'; readonly rows: number; readonly days: number; readonly tookMs: number }
  | {
      readonly type: 'relay-failed';
      readonly transport?: string;
      readonly event?: string;
      readonly error: unknown;
    }
  | ({ readonly type: 'relay-parked'; readonly error: unknown } & Partial<About>)
  | { readonly type: 'transport-connected'; readonly transport: string }
  | { readonly type: 'transport-disconnected'; readonly transport: string; readonly error?: unknown }
  | { readonly type: 'consumer-started' | 'consumer-stopped'; readonly transport: string; readonly group: string };

/** Takes what happened. It must be quick and must not throw. */
export type Report = (activity: Activity) => void;

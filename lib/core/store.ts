import type { Report } from './activity.js';
import type { Clock } from './clock.js';
import type { EventsLogger } from './logger.js';

/** What a store of the application (idempotency, outbox) is given to work with. */
export interface StoreEnvironment {
  readonly clock: Clock;
  readonly logger: EventsLogger;
  readonly report: Report;
  /** Whether NODE_ENV is `production`. */
  readonly production: boolean;
  /** A provider of the application by its token, from whichever module; `undefined` when there is none. */
  resolve(token: unknown): unknown;
}

import type { Report } from '../core/activity.js';
import type { Clock } from '../core/clock.js';
import { doubled } from '../core/doubling.js';
import { messageOf } from '../core/errors.js';
import { printable, type EventsLogger } from '../core/logger.js';

interface PauseTools {
  readonly clock: Clock;
  readonly logger: EventsLogger;
  readonly report: Report;
}

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

/** Whether a transport is away, by what became of the events that were sent to it. */
export class TransportPause {
  #failures = 0;
  #until = -Infinity;
  #confirmedAt = -Infinity;

  constructor(
    private readonly transport: string,
    private readonly tools: PauseTools,
  ) {}

  get leftMs(): number {
    return Math.max(0, this.#until - this.tools.clock.now());
  }

  get isPaused(): boolean {
    return this.leftMs > 0;
  }

  /** It has failed, and nothing was confirmed since. */
  get isProbing(): boolean {
    return this.#failures > 0;
  }

  confirmed(): void {
    this.#confirmedAt = this.tools.clock.now();
    if (this.#failures === 0) return;
    this.#failures = 0;
    this.#until = -Infinity;
    this.tools.logger.log(`${this.transport} takes events of the outbox again`);
  }

  /** Whether others got through in the second half of the time that one waited: then it is not the transport that is away. */
  hasConfirmedLately(startedAt: number): boolean {
    return this.#confirmedAt > (startedAt + this.tools.clock.now()) / 2;
  }

  /** Nothing is sent for a while, longer each time. Those that fail together count once. */
  begin(error: unknown, event?: string): void {
    if (this.isPaused) return;
    const { clock, logger, report } = this.tools;
    const afterMs = doubled(FIRST_PAUSE_MS, this.#failures++, LONGEST_PAUSE_MS);
    this.#until = clock.now() + afterMs;
    report({ type: 'relay-failed', transport: this.transport, ...(event !== undefined && { event }), error });
    logger.warn(
      `${this.transport} takes no events, the outbox waits; next try in ${afterMs} ms: ${printable(messageOf(error))}`,
    );
  }
}

import type { BreakerState } from '../core/activity.js';
import type { Breaker } from '../core/breaker.js';
import type { Clock } from '../core/clock.js';
import { SettableLimit, type Limit } from '../core/limit.js';
import type { Outcome } from '../core/outcome.js';
import type { BreakerOptions } from '../core/retry-options.js';
import { backoffMs } from './backoff.js';
import { FailureRate } from './failure-rate.js';

export interface BreakerChange {
  readonly state: BreakerState;
  /** Since the outage began, in milliseconds. */
  readonly forMs: number;
  /** How long it stays open, in milliseconds; 0 when it is not. */
  readonly openForMs: number;
  /** How often it has opened in this outage. */
  readonly openings: number;
  /** What opened it. */
  readonly error: unknown;
}

export interface CircuitBreakerTools {
  readonly clock: Clock;
  readonly changed: (change: BreakerChange) => void;
  readonly random?: () => number;
}

/**
 * The breaker of one handler. A broken dependency opens it at once, other failures where there are too many of them. After
 * a while one attempt tries (half-open): it closes unless that meets a broken dependency too, then the while is longer.
 */
export class CircuitBreaker implements Breaker {
  readonly #limit = new SettableLimit();
  readonly #rate: FailureRate | undefined;
  #state: BreakerState = 'closed';
  #since: number;
  #outageSince = 0;
  #openUntil = 0;
  #openings = 0;
  #error: unknown;
  #cancel: (() => void) | undefined;
  #ended = false;

  constructor(
    private readonly options: BreakerOptions,
    private readonly tools: CircuitBreakerTools,
  ) {
    this.#rate = options.rate === undefined ? undefined : new FailureRate(options.rate);
    this.#since = tools.clock.now();
  }

  get limit(): Limit {
    return this.#limit;
  }

  get state(): BreakerState {
    return this.#state;
  }

  /** When it came into its state. Milliseconds since the Unix epoch. */
  get since(): number {
    return this.#since;
  }

  /** What opened it last, while it is not closed. */
  get error(): unknown {
    return this.#error;
  }

  get openForMs(): number {
    return this.#state === 'open' ? Math.max(0, this.#openUntil - this.tools.clock.now()) : 0;
  }

  after<T extends Outcome>(decided: T, startedAt: number): T {
    if (this.#state === 'closed') this.#whileClosed(decided);
    else if (this.#state === 'half-open' && startedAt >= this.#since) this.#afterTrial(decided);
    const { openForMs } = this;
    if (decided.kind !== 'retry' || decided.afterMs >= openForMs) return decided;
    return { ...decided, afterMs: openForMs };
  }

  /** Stops its timer; it changes no more. */
  close(): void {
    this.#ended = true;
    this.#cancel?.();
  }

  #whileClosed(decided: Outcome): void {
    if (decided.kind === 'retry' && decided.dependency) return this.#open(decided.error, decided.afterMs);
    if (this.#rate === undefined || !saysSomething(decided)) return;
    const failed = decided.kind === 'retry' || decided.kind === 'deadLetter';
    if (this.#rate.add(failed, this.tools.clock.now()) && failed) {
      this.#open(decided.error, decided.kind === 'retry' ? decided.afterMs : 0);
    }
  }

  /** What began before it was half-open says nothing about now, and is not heard here. */
  #afterTrial(decided: Outcome): void {
    if (decided.kind === 'retry' && decided.dependency) this.#open(decided.error, decided.afterMs);
    else if (saysSomething(decided)) this.#becomeClosed();
  }

  #open(error: unknown, atLeastMs: number): void {
    if (this.#ended) return;
    const { clock, random } = this.tools;
    const now = clock.now();
    if (this.#openings === 0) this.#outageSince = now;
    this.#openings++;
    this.#error = error;
    this.#rate?.clear();
    const openForMs = Math.max(atLeastMs, backoffMs(this.options.backoff, this.#openings, random));
    this.#openUntil = now + openForMs;
    this.#cancel = clock.after(openForMs, () => this.#become('half-open', 1));
    this.#become('open', 0);
  }

  #becomeClosed(): void {
    this.#become('closed', Infinity);
    this.#openings = 0;
    this.#error = undefined;
  }

  /** Told before the limit changes: what starts by it comes after it. */
  #become(state: BreakerState, limit: number): void {
    this.#state = state;
    this.#since = this.tools.clock.now();
    this.tools.changed({
      state,
      forMs: this.#since - this.#outageSince,
      openForMs: this.openForMs,
      openings: this.#openings,
      error: this.#error,
    });
    this.#limit.set(limit);
  }
}

/** A conflict with another transaction, or a wait for another delivery of the event, tells nothing about the handler. */
function saysSomething(decided: Outcome): boolean {
  return decided.kind !== 'retry' || decided.counts;
}

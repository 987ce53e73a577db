import type { Report } from '../core/activity.js';
import type { Breaker, Breakers, BreakerStatus } from '../core/breaker.js';
import type { Clock } from '../core/clock.js';
import { codeOf, messageOf, withoutCredentials } from '../core/errors.js';
import { printable, type EventsLogger } from '../core/logger.js';
import type { RetryOptions } from '../core/retry-options.js';
import { consumerName, type Subscription } from '../core/subscription.js';
import { CircuitBreaker, type BreakerChange } from './circuit-breaker.js';

export interface CircuitBreakersTools {
  readonly clock: Clock;
  readonly logger: EventsLogger;
  readonly report: Report;
  readonly optionsOf: (subscription: Subscription) => RetryOptions;
}

interface Entry {
  readonly subscription: Subscription;
  readonly breaker: CircuitBreaker;
}

/** One breaker for each handler of a group; tells and logs what they do. */
export class CircuitBreakers implements Breakers {
  readonly #entries = new Map<string, Entry>();
  /** Asked for every attempt: without making the name each time. */
  readonly #known = new WeakMap<Subscription, Breaker>();
  #closed = false;

  constructor(private readonly tools: CircuitBreakersTools) {}

  of(subscription: Subscription): Breaker {
    let breaker = this.#known.get(subscription);
    if (breaker === undefined) this.#known.set(subscription, (breaker = this.#named(subscription)));
    return breaker;
  }

  all(): readonly BreakerStatus[] {
    return [...this.#entries.values()].map(({ subscription: { group, handler }, breaker: { state, since, error } }) =>
      state === 'closed' ? { group, handler, state, since } : { group, handler, state, since, error },
    );
  }

  close(): void {
    this.#closed = true;
    for (const { breaker } of this.#entries.values()) breaker.close();
  }

  #named(subscription: Subscription): Breaker {
    const name = consumerName(subscription);
    let entry = this.#entries.get(name);
    if (entry === undefined) this.#entries.set(name, (entry = { subscription, breaker: this.#create(subscription) }));
    return entry.breaker;
  }

  #create(subscription: Subscription): CircuitBreaker {
    const { clock, optionsOf } = this.tools;
    const changed = (change: BreakerChange): void => this.#changed(subscription, change);
    const breaker = new CircuitBreaker(optionsOf(subscription).breaker, { clock, changed });
    if (this.#closed) breaker.close();
    return breaker;
  }

  #changed(subscription: Subscription, change: BreakerChange): void {
    const { state, forMs, error } = change;
    const { group, handler } = subscription;
    this.tools.report({ type: 'breaker', handler, group, state, forMs, ...(error === undefined ? {} : { error }) });
    this.#log(consumerName(subscription), change);
  }

  #log(name: string, { state, forMs, openForMs, openings, error }: BreakerChange): void {
    const { logger } = this.tools;
    if (state === 'closed') return logger.log(`${name} goes on: its breaker is closed again after ${forMs} ms`);
    if (state !== 'open') return;
    const reason = `${codeOf(error)} ${printable(withoutCredentials(messageOf(error)))}`;
    if (openings > 1)
      return logger.debug(`${name}: still broken after ${forMs} ms, next try in ${openForMs} ms: ${reason}`);
    logger.warn(
      `${name} is paused: its breaker has opened (${reason}). Nothing is lost and no attempt used up; one event tries in ` +
        `${openForMs} ms, and it goes on when what it needs is back.`,
    );
  }
}

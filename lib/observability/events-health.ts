import type { Observable } from 'rxjs';
import type { Activity, BreakerState } from '../core/activity.js';
import type { Breakers } from '../core/breaker.js';
import type { Clock } from '../core/clock.js';
import { codeOf } from '../core/errors.js';
import { printable } from '../core/logger.js';
import { consumerName } from '../core/subscription.js';
import type { TransportRegistry } from '../core/transport-registry.js';

/** How an application's events are doing. Times are RFC 3339. */
export interface HealthSnapshot {
  /**
   * `down`: no transport is connected. `degraded`: some transport is not, a handler waits for what it needs, dead letters
   * cannot be written, or nothing more is taken from a broker because too much is in flight. `up`: none of these.
   */
  readonly status: 'up' | 'degraded' | 'down';
  readonly transports: readonly TransportHealth[];
  readonly handlers: readonly HandlerHealth[];
  readonly pausedIntakes: readonly PausedIntake[];
}

export interface TransportHealth {
  readonly name: string;
  readonly connected: boolean;
}

export interface HandlerHealth {
  readonly group: string;
  readonly handler: string;
  readonly breaker: BreakerState;
  /** Since when its breaker is in this state. */
  readonly since: string;
  /** The code of the error that opened its breaker, while it is not closed. */
  readonly error?: string;
  /** Since when its dead letters cannot be written. */
  readonly deadLettersFailingSince?: string;
}

export interface PausedIntake {
  readonly transport: string;
  readonly group: string;
  /** Topic and partition, or queue. */
  readonly place: string;
  readonly since: string;
}

export interface EventsHealthParts {
  readonly transports: TransportRegistry;
  readonly breakers: Breakers;
  readonly activities: Observable<Activity>;
  readonly clock: Clock;
}

interface FailingLetters {
  readonly since: number;
  readonly ids: Set<string>;
}

/** Tells how events are doing: inject it, and build a health endpoint or a readiness check on {@link snapshot}. */
export class EventsHealth {
  /** Consumer name → the dead letters that could not be written. */
  readonly #failing = new Map<string, FailingLetters>();
  readonly #paused = new Map<string, Omit<PausedIntake, 'since'> & { readonly since: number }>();

  constructor(private readonly parts: EventsHealthParts) {
    parts.activities.subscribe((activity) => this.#heard(activity));
  }

  /** Names, states, times and codes of errors: nothing out of events, and no addresses. */
  snapshot(): HealthSnapshot {
    const transports = this.parts.transports.all.map((each) => ({ name: each.name, connected: each.isConnected() }));
    const handlers = this.#handlers();
    const pausedIntakes = [...this.#paused.values()].map((each) => ({ ...each, since: timeOf(each.since) }));
    const connected = transports.filter((each) => each.connected).length;
    const well =
      connected === transports.length && pausedIntakes.length === 0 && handlers.every((handler) => isWell(handler));
    const status = connected === 0 ? 'down' : well ? 'up' : 'degraded';
    return { status, transports, handlers, pausedIntakes };
  }

  #handlers(): HandlerHealth[] {
    return this.parts.breakers.all().map(({ group, handler, state, since, error }) => {
      const failing = this.#failing.get(consumerName({ group, handler }));
      return {
        ...{ group, handler, breaker: state, since: timeOf(since) },
        ...(error === undefined ? {} : { error: printable(codeOf(error), 100) }),
        ...(failing === undefined ? {} : { deadLettersFailingSince: timeOf(failing.since) }),
      };
    });
  }

  #heard(activity: Activity): void {
    switch (activity.type) {
      case 'dead-letter-failed':
        return this.#letterFailed(consumerName(activity), activity.id ?? '');
      case 'dead-lettered':
        return void this.#failing.delete(consumerName(activity));
      case 'released':
      case 'handled':
      case 'parked':
        // Most of the time there is nothing to look up.
        if (this.#failing.size > 0) this.#settled(consumerName(activity), activity.id ?? '');
        return;
      case 'intake-paused': {
        const { transport, group, place } = activity;
        const since = this.parts.clock.now();
        return void this.#paused.set(JSON.stringify([transport, group, place]), { transport, group, place, since });
      }
      case 'intake-resumed':
        return void this.#paused.delete(JSON.stringify([activity.transport, activity.group, activity.place]));
    }
  }

  #letterFailed(consumer: string, id: string): void {
    const failing = this.#failing.get(consumer);
    if (failing === undefined) this.#failing.set(consumer, { since: this.parts.clock.now(), ids: new Set([id]) });
    else failing.ids.add(id);
  }

  /** It needs no dead letter any more, or is somebody else's now, who will tell. */
  #settled(consumer: string, id: string): void {
    const failing = this.#failing.get(consumer);
    if (failing?.ids.delete(id) === true && failing.ids.size === 0) this.#failing.delete(consumer);
  }
}

function isWell({ breaker, deadLettersFailingSince }: HandlerHealth): boolean {
  return breaker === 'closed' && deadLettersFailingSince === undefined;
}

const timeOf = (at: number): string => new Date(at).toISOString();

import { channel } from 'node:diagnostics_channel';
import { Subject, type Observable } from 'rxjs';
import type { Activity } from '../core/activity.js';
import { messageOf } from '../core/errors.js';
import type { EventsLogger } from '../core/logger.js';

/** The name of Node's diagnostics channel on which the same activities appear. */
export const ACTIVITY_CHANNEL = 'nestjs-events:activity';

/** What happens inside (published, handled, retried, dead-lettered, …) as a stream to inject and subscribe to. */
export class ActivityStream {
  readonly #subject = new Subject<Activity>();
  readonly #channel = channel(ACTIVITY_CHANNEL);
  readonly #counts: Partial<Record<Activity['type'], number>> = {};
  /** Subscribers run in their turn, off the path of the event; an error in one is theirs. */
  readonly activities: Observable<Activity> = this.#subject.asObservable();

  constructor(private readonly logger: EventsLogger) {}

  /** How often each kind has happened since the start, whether or not anybody listened: `counts().duplicate`. */
  counts(): Readonly<Partial<Record<Activity['type'], number>>> {
    return { ...this.#counts };
  }

  /** Never throws: what an onlooker does wrong must not change an outcome. */
  readonly report = (activity: Activity): void => {
    this.#counts[activity.type] = (this.#counts[activity.type] ?? 0) + 1;
    try {
      this.#subject.next(activity);
      if (this.#channel.hasSubscribers) this.#channel.publish(activity);
    } catch (error) {
      this.logger.warn(`a subscriber of the activity stream threw: ${messageOf(error)}`);
    }
  };

  complete(): void {
    this.#subject.complete();
  }
}

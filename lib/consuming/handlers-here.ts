import type { DeadLetter } from '../core/dead-letter.js';
import { consumerName, type Subscription } from '../core/subscription.js';

/** The handlers that run in this process, by the ids they have and had. */
export class HandlersHere {
  constructor(private readonly subscriptions: () => readonly Subscription[]) {}

  get all(): readonly Subscription[] {
    return this.subscriptions();
  }

  /** The handler that a dead letter is of. An id in use goes before a former one. */
  of({ group, handler }: Pick<DeadLetter, 'group' | 'handler'>): Subscription | undefined {
    const inGroup = this.all.filter((each) => each.group === group);
    return inGroup.find((each) => each.handler === handler) ?? inGroup.find((each) => each.aliases.includes(handler));
  }

  /** `<group>.<handler id>`, former ids included. */
  readonly namesOf = (subscription: Subscription): readonly string[] =>
    [subscription.handler, ...subscription.aliases].map((handler) =>
      consumerName({ group: subscription.group, handler }),
    );
}

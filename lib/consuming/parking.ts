import type { DeadLetter } from '../core/dead-letter.js';
import { envelopeOf, laneKeyOf, type Delivery } from '../core/delivery.js';
import { EventsError, messageOf } from '../core/errors.js';
import type { Slot } from '../core/lanes.js';
import { printable } from '../core/logger.js';
import { outcome } from '../core/outcome.js';
import type { ParkedKeys } from '../core/parked-keys.js';
import { consumerName, type Subscription } from '../core/subscription.js';
import type { ConsumerTools } from './consumer.tools.js';
import { persist } from './persist.js';
import { FIRST_ATTEMPT } from './retrying.js';
import { about, giveBack, settle } from './settle.js';
import { keyed, toDeadLetter } from './to-dead-letter.js';

/** Refuses handlers that ask for `park-key` and cannot have it. Throws EVENTS_HANDLER_INVALID, EVENTS_DEAD_LETTER_STORE_MISSING. */
export function assertCanPark(subscriptions: readonly Subscription[], parkedKeys: ParkedKeys | undefined): void {
  for (const { handler, afterDeadLetter, ordering } of subscriptions) {
    if (afterDeadLetter !== 'park-key') continue;
    if (ordering === 'none') {
      throw new EventsError('EVENTS_HANDLER_INVALID', "afterDeadLetter: 'park-key' keeps an order that it has not", {
        handler,
        remedy: "Leave out ordering: 'none', or afterDeadLetter: 'park-key'.",
      });
    }
    if (parkedKeys === undefined) {
      throw new EventsError('EVENTS_DEAD_LETTER_STORE_MISSING', "afterDeadLetter: 'park-key' needs a store", {
        handler,
        remedy: 'Add deadLetters: { store: typeormDeadLetters() } to EventsModule.forRoot.',
      });
    }
  }
}

/** Whether the delivery's key is held back behind a dead letter. */
export function parksKey(delivery: Delivery): boolean {
  return delivery.subscription.afterDeadLetter === 'park-key' && laneKeyOf(delivery) !== undefined;
}

/** Keeps the dead letter of such a delivery, and its key back. */
export async function parkKey(letter: DeadLetter, delivery: Delivery, parkedKeys: ParkedKeys): Promise<void> {
  await parkedKeys.park(keyed(letter, envelopeOf(delivery)));
}

/**
 * Settles a delivery that has to stay behind a dead letter of its key: kept in the store, then acknowledged. Returns
 * whether there is nothing left to do about it. While the store is away the key waits.
 */
export async function followed(delivery: Delivery, slot: Slot, tools: ConsumerTools): Promise<boolean> {
  const { parkedKeys } = tools;
  if (parkedKeys === undefined) return false;
  const { lost } = delivery;
  const failed = (error: unknown, nextTryMs: number): void => {
    tools.report({ type: 'dead-letter-failed', error, ...about(delivery) });
    tools.logger.error(
      `${consumerName(delivery.subscription)}: whether a key is parked cannot be told (${printable(messageOf(error))}); ` +
        `its event is not acknowledged; next try in ${nextTryMs} ms`,
    );
  };
  const letter = followerOf(delivery, tools.clock.now());
  const kept = await persist(() => parkedKeys.follow(letter), { slot, lost, failed });
  if (kept?.value === false && !lost.aborted) return false;
  if (kept === undefined || lost.aborted) giveBack(delivery, tools.report);
  else await settle(outcome.ack('parked'), { delivery, history: FIRST_ATTEMPT, slot, tookMs: 0 }, tools);
  return true;
}

/** Of a batch, those that have not to stay behind a dead letter of their key. */
export async function notFollowing(
  deliveries: readonly Delivery[],
  slot: Slot,
  tools: ConsumerTools,
): Promise<readonly Delivery[]> {
  if (!deliveries.some(parksKey)) return deliveries;
  const free: Delivery[] = [];
  for (const delivery of deliveries) {
    if (!parksKey(delivery) || !(await followed(delivery, slot, tools))) free.push(delivery);
  }
  return free;
}

function followerOf(delivery: Delivery, now: number): DeadLetter {
  const error = new EventsError('EVENTS_KEY_PARKED', 'an earlier event of its key is a dead letter', {
    event: envelopeOf(delivery)?.name,
    handler: delivery.subscription.handler,
    remedy: 'Redrive or discard that one: this one follows by itself.',
  });
  return keyed(toDeadLetter({ delivery, history: { ...FIRST_ATTEMPT, attempt: 0 }, error }, now), envelopeOf(delivery));
}

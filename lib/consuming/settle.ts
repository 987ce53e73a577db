import type { Report } from '../core/activity.js';
import type { Clock } from '../core/clock.js';
import type { DeadLetter } from '../core/dead-letter.js';
import { envelopeOf, type Delivery, type DeliveryHistory } from '../core/delivery.js';
import { codeOf, messageOf } from '../core/errors.js';
import type { Slot } from '../core/lanes.js';
import { printable, type EventsLogger } from '../core/logger.js';
import type { DeadLetterOutcome, FinalOutcome } from '../core/outcome.js';
import { consumerName } from '../core/subscription.js';
import type { TellDeadLetter } from '../handlers/dead-letter-listeners.js';
import type { Caution } from './caution.js';
import { persist } from './persist.js';
import { toDeadLetter } from './to-dead-letter.js';

export interface SettleTools {
  readonly clock: Clock;
  readonly logger: EventsLogger;
  readonly report: Report;
  readonly writeDeadLetter: (letter: DeadLetter, delivery: Delivery) => Promise<void>;
  /** After an unclean stop. */
  readonly caution?: Caution | undefined;
  /** Tells the `@OnDeadLetter` methods. `false`: the consumer closes before they are done. */
  readonly tell?: TellDeadLetter | undefined;
}

export interface Settling {
  readonly delivery: Delivery;
  readonly history: DeliveryHistory;
  readonly slot: Slot;
  /** How long the last attempt ran. */
  readonly tookMs: number;
}

/** Applies the final outcome to the broker. The only place that writes dead letters and acknowledges. Never throws. */
export async function settle(outcome: FinalOutcome, given: Settling, tools: SettleTools): Promise<void> {
  const settling = withAttemptsOf(outcome, given);
  const { delivery } = settling;
  if (outcome.kind === 'deadLetter' && !(await park(outcome, settling, tools))) return giveBack(delivery, tools.report);
  delivery.acknowledge(outcome);
  reportOutcome(outcome, settling, tools);
}

/** Those of processes that ended in them count, too. */
function withAttemptsOf(outcome: FinalOutcome, settling: Settling): Settling {
  if (outcome.kind !== 'deadLetter' || outcome.attempts === undefined) return settling;
  return { ...settling, history: { ...settling.history, attempt: outcome.attempts } };
}

/** Without an outcome: to be delivered again, here or elsewhere. */
export function giveBack(delivery: Delivery, report: Report): void {
  delivery.release();
  report({ type: 'released', ...about(delivery) });
}

/** Who and what an activity is about. */
export function about(delivery: Delivery): {
  handler: string;
  group: string;
  transport: string;
  event?: string;
  id?: string;
} {
  const { handler, group } = delivery.subscription;
  const { transport } = delivery.raw.place;
  const envelope = envelopeOf(delivery);
  return envelope === undefined
    ? { handler, group, transport }
    : { handler, group, transport, event: envelope.name, id: envelope.id };
}

/**
 * Writes the dead letter until it is durable, and tells those that wait for it. Only then may the delivery be acknowledged;
 * `false` means that the consumer is closing or the delivery is lost first.
 */
async function park({ error }: DeadLetterOutcome, settling: Settling, tools: SettleTools): Promise<boolean> {
  const { delivery, history, slot } = settling;
  const { lost } = delivery;
  const letter = toDeadLetter({ delivery, history, error }, tools.clock.now());
  const failed = (cause: unknown, nextTryMs: number): void => {
    tools.report({ type: 'dead-letter-failed', error: cause, ...about(delivery) });
    tools.logger.error(
      `${consumerName(delivery.subscription)}: the dead letter of ${letter.event ?? 'an undecodable event'} ` +
        `${printable(letter.eventId ?? '')} could not be written (${printable(messageOf(cause))}). ` +
        `It is not acknowledged; next try in ${nextTryMs} ms.`,
    );
  };
  const written = await persist(() => tools.writeDeadLetter(letter, delivery), { slot, lost, failed });
  if (written === undefined || lost.aborted) return false;
  await tools.caution?.buried(delivery);
  return tools.tell?.(letter, envelopeOf(delivery), (delayMs) => slot.park(delayMs)) ?? true;
}

function reportOutcome(outcome: FinalOutcome, settling: Settling, { report, logger }: SettleTools): void {
  const who = about(settling.delivery);
  const { attempt } = settling.history;
  switch (outcome.kind) {
    case 'ack':
      if (outcome.reason === 'duplicate') {
        logger.debug(`${who.group}.${who.handler}: ${who.event} ${printable(who.id ?? '')} is a duplicate, skipped`);
        return report({ type: 'duplicate', ...who });
      }
      if (outcome.reason === 'parked') return report({ type: 'parked', ...who });
      return report({ type: 'handled', attempt, tookMs: settling.tookMs, ...who });
    case 'drop':
      return report({ type: 'dropped', reason: outcome.reason, ...who });
    case 'deadLetter': {
      const { error } = outcome;
      const data = envelopeOf(settling.delivery)?.data;
      logger.warn(
        `${who.group}.${who.handler}: ${who.event ?? 'an undecodable event'} ${printable(who.id ?? '')} is a dead letter ` +
          `after ${attempt} attempt(s): ${codeOf(error)} ${printable(messageOf(error))}`,
      );
      return report({ type: 'dead-lettered', attempt, error, data, ...who });
    }
  }
}

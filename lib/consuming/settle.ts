import type { Report } from '../core/activity.js';
import type { Clock } from '../core/clock.js';
import { deadLetterError, type DeadLetter } from '../core/dead-letter.js';
import { envelopeOf, type Delivery, type DeliveryHistory } from '../core/delivery.js';
import { codeOf, messageOf } from '../core/errors.js';
import type { Slot } from '../core/lanes.js';
import { printable, type EventsLogger } from '../core/logger.js';
import type { DeadLetterOutcome, FinalOutcome } from '../core/outcome.js';
import { consumerName } from '../core/subscription.js';

export interface SettleTools {
  readonly clock: Clock;
  readonly logger: EventsLogger;
  readonly report: Report;
  readonly writeDeadLetter: (letter: DeadLetter) => Promise<void>;
}

export interface Settling {
  readonly delivery: Delivery;
  readonly history: DeliveryHistory;
  readonly slot: Slot;
  /** How long the last attempt ran. */
  readonly tookMs: number;
}

const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 10_000;

/** Applies the final outcome to the broker. The only place that writes dead letters and acknowledges. Never throws. */
export async function settle(outcome: FinalOutcome, settling: Settling, tools: SettleTools): Promise<void> {
  const { delivery } = settling;
  if (outcome.kind === 'deadLetter' && !(await park(outcome, settling, tools))) return giveBack(delivery, tools.report);
  delivery.acknowledge();
  reportOutcome(outcome, settling, tools);
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
 * Writes the dead letter until the broker has confirmed it. Only then may the delivery be acknowledged; `false` means
 * that the consumer is closing or the delivery is lost first.
 */
async function park(outcome: DeadLetterOutcome, settling: Settling, tools: SettleTools): Promise<boolean> {
  const letter = toDeadLetter(outcome.error, settling, tools.clock);
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
    try {
      await tools.writeDeadLetter(letter);
      return !settling.delivery.lost.aborted;
    } catch (error) {
      tools.report({ type: 'dead-letter-failed', error, ...about(settling.delivery) });
      tools.logger.error(
        `${consumerName(settling.delivery.subscription)}: the dead letter of ${letter.event ?? 'an undecodable event'} ` +
          `${printable(letter.id ?? '')} could not be written (${printable(messageOf(error))}). ` +
          `It is not acknowledged; next try in ${waitMs} ms.`,
      );
    }
    if (!(await settling.slot.park(waitMs)) || settling.delivery.lost.aborted) return false;
  }
}

function toDeadLetter(error: unknown, settling: Settling, clock: Clock): DeadLetter {
  const { delivery, history } = settling;
  const { group, handler, event, id } = about(delivery);
  const now = clock.now();
  return {
    group,
    handler,
    ...(event === undefined ? {} : { event }),
    ...(id === undefined ? {} : { id }),
    error: deadLetterError(codeOf(error), messageOf(error), error instanceof Error ? error.stack : undefined),
    attempts: history.attempt,
    firstFailureAt: new Date(history.firstFailureAt ?? now).toISOString(),
    lastFailureAt: new Date(now).toISOString(),
    original: delivery.raw,
  };
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

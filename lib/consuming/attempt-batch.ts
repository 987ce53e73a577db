import { BatchError } from '../core/batch-error.js';
import type { Delivery, DeliveryHistory } from '../core/delivery.js';
import type { Outcome } from '../core/outcome.js';
import { consumerName, type Subscription } from '../core/subscription.js';
import type { ConsumerTools } from './consumer.tools.js';
import { RunningBatch } from './running-attempt.js';

/** Decoded deliveries of one batch handler, and what has become of them so far. */
export interface BatchPart {
  readonly deliveries: readonly Delivery[];
  readonly history: DeliveryHistory;
}

/** What one run of a part has brought. Positions are those of its deliveries. */
export interface BatchResult {
  readonly decided: Outcome;
  /** Which of them the handler was given; the others are duplicates. */
  readonly handedOver: ReadonlySet<number>;
  /** The errors that the handler gave to single ones with a BatchError. */
  readonly named: ReadonlyMap<number, unknown>;
}

/** One attempt. Whatever escapes becomes an outcome. */
export async function attemptBatch({ deliveries, history }: BatchPart, tools: ConsumerTools): Promise<BatchResult> {
  const { subscription } = deliveries[0] as Delivery;
  const batch = new RunningBatch(subscription, deliveries, { history, deadline: tools.deadline });
  const decided = await run(batch, tools);
  return { decided, handedOver: new Set(batch.handedOver), named: namedIn(decided, batch, tools) };
}

/** A delivery of a batch handler by itself. An error that the handler gives to it is its own. */
export async function attemptAlone(part: BatchPart, tools: ConsumerTools): Promise<Outcome> {
  const { decided, named } = await attemptBatch(part, tools);
  return named.has(0) ? decideAbout(part, named.get(0), tools) : decided;
}

/** What follows a failure of one delivery, or of all. */
export function decideAbout({ deliveries, history }: BatchPart, error: unknown, { policy }: ConsumerTools): Outcome {
  const { subscription } = deliveries[0] as Delivery;
  return policy.decide(error, { ...history, subscription });
}

async function run(batch: RunningBatch, { pipeline, policy }: ConsumerTools): Promise<Outcome> {
  try {
    return await pipeline(batch);
  } catch (error) {
    return policy.decide(error, batch);
  }
}

/** Filters may have made an outcome of the error. */
function namedIn(decided: Outcome, batch: RunningBatch, tools: ConsumerTools): ReadonlyMap<number, unknown> {
  const named = new Map<number, unknown>();
  if (!('error' in decided) || !(decided.error instanceof BatchError)) return named;
  for (const { index, error } of decided.error.failures) {
    const position = batch.handedOver[index];
    if (position === undefined) {
      warnUnusable(batch.subscription, decided.error, tools);
      return new Map();
    }
    named.set(position, error);
  }
  if (named.size === 0) warnUnusable(batch.subscription, decided.error, tools);
  return named;
}

function warnUnusable(subscription: Subscription, { failures }: BatchError, { logger }: ConsumerTools): void {
  const indices = JSON.stringify(failures.map(({ index }) => index));
  logger.warn(
    `${consumerName(subscription)} threw a BatchError whose indices are not those of envelopes it was given: ${indices}; ` +
      'its events are tried in smaller batches instead. Give the index in the array that the handler got.',
  );
}

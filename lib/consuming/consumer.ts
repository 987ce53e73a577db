import type { Attempt, Delivery, DeliveryHistory, FailurePolicy } from '../core/delivery.js';
import type { Envelope } from '../core/envelope.js';
import type { Slot } from '../core/lanes.js';
import { outcome, type Outcome, type RetryOutcome } from '../core/outcome.js';
import type { Subscription } from '../core/subscription.js';
import type { ConsumerPipeline } from './consumer.pipeline.js';
import { about, giveBack, settle, type SettleTools } from './settle.js';

export interface ConsumerTools extends SettleTools {
  readonly pipeline: ConsumerPipeline;
  readonly policy: FailurePolicy;
  /** Aborted when shutdown's deadline has passed. */
  readonly deadline: AbortSignal;
}

/** Takes each delivery of one group on one transport to its end: attempts until an outcome is final, then settles it. */
export class Consumer {
  constructor(private readonly tools: ConsumerTools) {}

  /** Never throws. Waits for a retry give the place in the lane to other keys; this delivery's own key stays held. */
  async process(delivery: Delivery, slot: Slot): Promise<void> {
    let history: DeliveryHistory = { attempt: 1, dependencyFailures: 0 };
    for (;;) {
      if (delivery.lost.aborted || slot.closing.aborted) return giveBack(delivery, this.tools.report);
      const startedAt = this.tools.clock.now();
      const decided = await this.#attempt(delivery, history);
      const now = this.tools.clock.now();
      if (decided.kind !== 'retry') {
        if (delivery.lost.aborted) return giveBack(delivery, this.tools.report);
        return settle(decided, { delivery, history, slot, tookMs: now - startedAt }, this.tools);
      }
      this.#reportRetry(delivery, history, decided);
      history = afterFailure(history, decided, now);
      if (!(await slot.park(decided.afterMs))) return giveBack(delivery, this.tools.report);
    }
  }

  /** One attempt. Whatever escapes becomes an outcome. */
  async #attempt(delivery: Delivery, history: DeliveryHistory): Promise<Outcome> {
    const { content, subscription } = delivery;
    if ('undecodable' in content) return outcome.deadLetter(content.undecodable);
    const attempt = new RunningAttempt(delivery, content.envelope, { history, deadline: this.tools.deadline });
    try {
      return await this.tools.pipeline(attempt);
    } catch (error) {
      return this.tools.policy.decide(error, { ...history, subscription });
    }
  }

  #reportRetry(delivery: Delivery, history: DeliveryHistory, { afterMs, dependency, error }: RetryOutcome): void {
    const { attempt } = history;
    this.tools.report({ type: 'retried', attempt, afterMs, dependency, error, ...about(delivery) });
  }
}

/** A class, because one is made for every event: an object literal with a spread and a getter costs 70 times as much. */
class RunningAttempt implements Attempt {
  readonly subscription: Subscription;
  readonly attempt: number;
  readonly dependencyFailures: number;
  readonly firstFailureAt?: number;
  #signal: AbortSignal | undefined;
  #notes: Set<string> | undefined;

  constructor(
    readonly delivery: Delivery,
    readonly envelope: Envelope,
    private readonly circumstances: { readonly history: DeliveryHistory; readonly deadline: AbortSignal },
  ) {
    const { history } = circumstances;
    this.subscription = delivery.subscription;
    this.attempt = history.attempt;
    this.dependencyFailures = history.dependencyFailures;
    if (history.firstFailureAt !== undefined) this.firstFailureAt = history.firstFailureAt;
  }

  /** Made when asked for: most handlers never look. */
  get signal(): AbortSignal {
    return (this.#signal ??= AbortSignal.any([this.delivery.lost, this.circumstances.deadline]));
  }

  get notes(): Set<string> {
    return (this.#notes ??= new Set());
  }
}

/** Broken dependencies use up no attempt; anything else ends their row. */
function afterFailure(history: DeliveryHistory, decided: RetryOutcome, now: number): DeliveryHistory {
  const firstFailureAt = history.firstFailureAt ?? now;
  return decided.dependency
    ? { ...history, firstFailureAt, dependencyFailures: history.dependencyFailures + 1 }
    : { attempt: history.attempt + 1, dependencyFailures: 0, firstFailureAt };
}

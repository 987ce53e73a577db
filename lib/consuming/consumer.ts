import type { Delivery, DeliveryHistory } from '../core/delivery.js';
import type { Slot } from '../core/lanes.js';
import { outcome, type Outcome } from '../core/outcome.js';
import { attemptAlone } from './attempt-batch.js';
import { BatchRun } from './consumer.batch.js';
import type { ConsumerTools } from './consumer.tools.js';
import { followed, notFollowing, parksKey } from './parking.js';
import { afterFailure, FIRST_ATTEMPT, reportRetry } from './retrying.js';
import { RunningAttempt } from './running-attempt.js';
import { giveBack, settle } from './settle.js';

interface Begun {
  readonly decided: Outcome;
  readonly startedAt: number;
}

/** Takes each delivery of one group on one transport to its end: attempts until an outcome is final, then settles it. */
export class Consumer {
  /** What was decided about deliveries that failed in a batch, and now go on by themselves. */
  readonly #failedInBatch = new WeakMap<Delivery, Outcome>();

  constructor(private readonly tools: ConsumerTools) {}

  /** Never throws. Waits for a retry give the place in the lane to other keys; this delivery's own key stays held. */
  async process(delivery: Delivery, slot: Slot): Promise<void> {
    let history = FIRST_ATTEMPT;
    for (;;) {
      if (delivery.lost.aborted || slot.closing.aborted) return giveBack(delivery, this.tools.report);
      if (parksKey(delivery) && (await followed(delivery, slot, this.tools))) return;
      const began = await this.#begin(delivery, slot, history);
      if (began === undefined) continue;
      const { startedAt } = began;
      const decided = this.#noted(delivery, began.decided, startedAt);
      const now = this.tools.clock.now();
      if (decided.kind !== 'retry') {
        if (delivery.lost.aborted) return giveBack(delivery, this.tools.report);
        return settle(decided, { delivery, history, slot, tookMs: now - startedAt }, this.tools);
      }
      reportRetry(delivery, { history, decided }, this.tools.report);
      history = afterFailure(history, decided, now);
      if (!(await slot.park(decided.afterMs))) return giveBack(delivery, this.tools.report);
    }
  }

  /**
   * Runs the deliveries of a batch handler together and settles what succeeds. Returns those that have to be processed by
   * themselves, in order. Never throws.
   */
  async processBatch(deliveries: readonly Delivery[], slot: Slot): Promise<readonly Delivery[]> {
    const failed = (delivery: Delivery, decided: Outcome): void => void this.#failedInBatch.set(delivery, decided);
    const free = await notFollowing(deliveries, slot, this.tools);
    // After an unclean stop they run by themselves: of a batch that ended the process, nobody could tell which it was.
    if (free.some((delivery) => this.tools.caution?.isSuspect(delivery))) return free;
    return free.length === 0 ? [] : new BatchRun(free, { slot, failed, tools: this.tools }).run();
  }

  /** After an unclean stop it may have to wait for its turn; `undefined`: in vain. */
  async #begin(delivery: Delivery, slot: Slot, history: DeliveryHistory): Promise<Begun | undefined> {
    const { caution, clock } = this.tools;
    let startedAt = clock.now();
    if (caution?.isSuspect(delivery) !== true) return { decided: await this.#attempt(delivery, history), startedAt };
    const decided = await caution.attempt(delivery, slot, () => {
      startedAt = clock.now();
      return this.#attempt(delivery, history);
    });
    return decided === undefined ? undefined : { decided, startedAt };
  }

  /** One attempt. Whatever escapes becomes an outcome. */
  async #attempt(delivery: Delivery, history: DeliveryHistory): Promise<Outcome> {
    const { content, subscription } = delivery;
    if ('undecodable' in content) return outcome.deadLetter(content.undecodable);
    if (subscription.batch !== undefined) return this.#attemptAlone(delivery, history);
    const attempt = new RunningAttempt(delivery, content.envelope, { history, deadline: this.tools.deadline });
    try {
      return await this.tools.pipeline(attempt);
    } catch (error) {
      return this.tools.policy.decide(error, { ...history, subscription });
    }
  }

  /** The handler's breaker hears how its attempts end. What was lost told the handler to stop: that says nothing. */
  #noted(delivery: Delivery, decided: Outcome, startedAt: number): Outcome {
    if ('undecodable' in delivery.content || delivery.lost.aborted) return decided;
    return this.tools.breakers.of(delivery.subscription).after(decided, startedAt);
  }

  /** A batch in which the handler has named it was its first attempt. */
  #attemptAlone(delivery: Delivery, history: DeliveryHistory): Outcome | Promise<Outcome> {
    const decided = this.#failedInBatch.get(delivery);
    if (decided === undefined) return attemptAlone({ deliveries: [delivery], history }, this.tools);
    this.#failedInBatch.delete(delivery);
    return decided;
  }
}

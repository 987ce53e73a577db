import type { Breaker } from '../core/breaker.js';
import { laneKeyOf, type Delivery } from '../core/delivery.js';
import { codeOf, messageOf } from '../core/errors.js';
import type { Slot } from '../core/lanes.js';
import { printable } from '../core/logger.js';
import {
  outcome,
  type AckOutcome,
  type DropOutcome,
  type FinalOutcome,
  type Outcome,
  type RetryOutcome,
} from '../core/outcome.js';
import { consumerName } from '../core/subscription.js';
import { attemptBatch, decideAbout, type BatchPart, type BatchResult } from './attempt-batch.js';
import type { ConsumerTools } from './consumer.tools.js';
import { afterFailure, FIRST_ATTEMPT, reportRetry } from './retrying.js';
import { giveBack, settle } from './settle.js';

export interface BatchRunTools {
  readonly tools: ConsumerTools;
  readonly slot: Slot;
  /** Tells what was decided about a delivery that the handler has named; it goes on by itself. */
  readonly failed: (delivery: Delivery, decided: Outcome) => void;
}

/**
 * Takes a batch as far as its deliveries can go together. A part that fails is run again in halves, the left one first,
 * until the deliveries at fault stand alone; each of them is then processed by itself, with what follows it in its key.
 */
export class BatchRun {
  readonly #breaker: Breaker;
  readonly #position: ReadonlyMap<Delivery, number>;
  /** What is still to be run, in order. */
  readonly #parts: BatchPart[];
  readonly #alone: Delivery[] = [];
  /** Keys of those that stand alone, and from which position on they are held. */
  readonly #heldAfter = new Map<string, number>();

  constructor(
    deliveries: readonly Delivery[],
    private readonly options: BatchRunTools,
  ) {
    this.#position = new Map(deliveries.map((delivery, position) => [delivery, position]));
    this.#parts = [{ deliveries, history: FIRST_ATTEMPT }];
    this.#breaker = options.tools.breakers.of((deliveries[0] as Delivery).subscription);
  }

  /** Returns those to be processed by themselves, in order. */
  async run(): Promise<readonly Delivery[]> {
    for (let part = this.#next(); part !== undefined; part = this.#next()) {
      if (this.#breaker.limit.now > 0) await this.#attempt(part);
      else await this.#waitForBreaker(part);
    }
    return this.#alone.sort((a, b) => this.#positionOf(a) - this.#positionOf(b));
  }

  /** The next part of two or more that can still run together. When closing there is none: alone, each is given back. */
  #next(): BatchPart | undefined {
    for (let part = this.#parts.shift(); part !== undefined; part = this.#parts.shift()) {
      const here = part.deliveries.filter((delivery) => !this.#gaveBack(delivery));
      const together = here.filter((delivery) => !this.#isHeld(delivery));
      for (const delivery of here) if (this.#isHeld(delivery)) this.#alone.push(delivery);
      if (together.length > 1 && !this.options.slot.closing.aborted) return { ...part, deliveries: together };
      for (const delivery of together) this.#setAside(delivery);
    }
    return undefined;
  }

  async #attempt(part: BatchPart): Promise<void> {
    const { tools } = this.options;
    const startedAt = tools.clock.now();
    const result = await attemptBatch(part, tools);
    const now = tools.clock.now();
    if (concernsAll(result.decided)) {
      this.#breaker.after(result.decided, startedAt);
      return this.#settle(part, result, now - startedAt);
    }
    // What is lost told the handler to stop: the failure says nothing about the others.
    if (part.deliveries.some(({ lost }) => lost.aborted)) return void this.#parts.unshift(part);
    // Of those that are named, the breaker hears when they are processed.
    if (result.named.size > 0) return this.#setApart(part, result.named);
    const decided = this.#breaker.after(result.decided, startedAt);
    if (decided.kind === 'retry' && !decided.counts) await this.#wait(part, decided, now);
    else this.#split(part, decided.error);
  }

  async #settle({ deliveries, history }: BatchPart, result: BatchResult, tookMs: number): Promise<void> {
    const { tools, slot } = this.options;
    for (const [position, delivery] of deliveries.entries()) {
      if (this.#gaveBack(delivery)) continue;
      const decided = result.handedOver.has(position) ? (result.decided as FinalOutcome) : outcome.ack('duplicate');
      await settle(decided, { delivery, history, slot, tookMs }, tools);
    }
  }

  /** Another batch of the handler has opened it. */
  async #waitForBreaker(part: BatchPart): Promise<void> {
    await this.options.slot.park(this.#breaker.openForMs);
    this.#parts.unshift(part);
  }

  /** A broken dependency, or a conflict: none of the events is to blame, and all of them run again. */
  async #wait({ deliveries, history }: BatchPart, decided: RetryOutcome, now: number): Promise<void> {
    const { tools, slot } = this.options;
    for (const delivery of deliveries) reportRetry(delivery, { history, decided }, tools.report);
    await slot.park(decided.afterMs);
    this.#parts.unshift({ deliveries, history: afterFailure(history, decided, now) });
  }

  /** The handler knows who is at fault: this run was their first attempt, and the others run again without them. */
  #setApart({ deliveries }: BatchPart, named: ReadonlyMap<number, unknown>): void {
    const { tools, failed } = this.options;
    for (const [position, error] of named) {
      const delivery = deliveries[position] as Delivery;
      failed(delivery, decideAbout({ deliveries: [delivery], history: FIRST_ATTEMPT }, error, tools));
      this.#setAside(delivery);
    }
    const others = deliveries.filter((_, position) => !named.has(position));
    this.#parts.unshift({ deliveries: others, history: FIRST_ATTEMPT });
  }

  #split({ deliveries }: BatchPart, error: unknown): void {
    const { subscription } = deliveries[0] as Delivery;
    this.options.tools.logger.debug(
      `${consumerName(subscription)}: a batch of ${deliveries.length} failed and is split to find the events at fault: ` +
        `${codeOf(error)} ${printable(messageOf(error))}`,
    );
    const middle = Math.ceil(deliveries.length / 2);
    const halves = [deliveries.slice(0, middle), deliveries.slice(middle)];
    this.#parts.unshift(...halves.map((half) => ({ deliveries: half, history: FIRST_ATTEMPT })));
  }

  #setAside(delivery: Delivery): void {
    this.#alone.push(delivery);
    const key = laneKeyOf(delivery);
    if (key === undefined) return;
    const position = this.#positionOf(delivery);
    this.#heldAfter.set(key, Math.min(position, this.#heldAfter.get(key) ?? position));
  }

  /** Whether one before it in its key stands alone. */
  #isHeld(delivery: Delivery): boolean {
    const key = laneKeyOf(delivery);
    const heldAfter = key === undefined ? undefined : this.#heldAfter.get(key);
    return heldAfter !== undefined && this.#positionOf(delivery) > heldAfter;
  }

  #gaveBack(delivery: Delivery): boolean {
    if (!delivery.lost.aborted) return false;
    giveBack(delivery, this.options.tools.report);
    return true;
  }

  #positionOf(delivery: Delivery): number {
    return this.#position.get(delivery) as number;
  }
}

type WantedDrop = DropOutcome & { readonly error?: undefined };

/** The handler is done with the whole batch. A drop that follows from a failure is meant for the events at fault only. */
function concernsAll(decided: Outcome): decided is AckOutcome | WantedDrop {
  return decided.kind === 'ack' || (decided.kind === 'drop' && decided.error === undefined);
}

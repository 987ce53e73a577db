import type { RedriveOutcome } from '../core/activity.js';
import type { DeadLetter } from '../core/dead-letter.js';
import type { Delivery, RawEvent } from '../core/delivery.js';
import { messageOf } from '../core/errors.js';
import { HandlerLanes } from '../core/handler-lanes.js';
import type { Slot } from '../core/lanes.js';
import { printable } from '../core/logger.js';
import type { FinalOutcome } from '../core/outcome.js';
import { consumerName, type Subscription } from '../core/subscription.js';
import type { TransportRegistry } from '../core/transport-registry.js';
import type { RedriveEnd } from '../dead-letter/run-dead-letter.js';
import { Consumer } from './consumer.js';
import type { ConsumerTools } from './consumer.tools.js';
import { persist } from './persist.js';
import { about } from './settle.js';

/** A dead letter on its way to its handler again. */
export interface RedriveTask {
  readonly letter: DeadLetter;
  /** Of the handler as it is called now. */
  readonly subscription: Subscription;
  /** Aborted when it is no longer this process's to redrive. */
  readonly lost: AbortSignal;
  /** Makes durable what became of it. What rejects is tried again. */
  readonly settle: (end: RedriveEnd) => Promise<void>;
  /** Nothing was decided. Called instead of, or after a failing, {@link settle}. */
  readonly release: () => void;
}

export type RedriveTools = Omit<ConsumerTools, 'writeDeadLetter' | 'tell' | 'parkedKeys'> & {
  readonly transports: TransportRegistry;
};

/**
 * Where dead letters run again: the same attempts as when they came from the broker, in order per key, at most the
 * handler's concurrency at once. Only the end differs: it goes to whoever redrives, not to the broker.
 */
export class RedriveLanes {
  readonly #lanes: HandlerLanes;
  readonly #consumer: Consumer;

  constructor(private readonly tools: RedriveTools) {
    this.#consumer = new Consumer({
      ...tools,
      writeDeadLetter: (failure, delivery) => this.#failed(failure, delivery as RedriveDelivery),
    });
    this.#lanes = new HandlerLanes({
      ...{ clock: tools.clock, logger: tools.logger },
      limitOf: (subscription) => tools.breakers.of(subscription).limit,
      process: (delivery, slot) => this.#process(delivery as RedriveDelivery, slot),
      processBatch: async (deliveries) => deliveries,
    });
  }

  push(task: RedriveTask): void {
    const { letter } = task;
    this.#lanes.push(new RedriveDelivery(task, contentOf(letter.original, this.tools.transports)));
  }

  /** Starts nothing more; what has not started is released. */
  close(): void {
    this.#lanes.close();
  }

  idle(): Promise<void> {
    return this.#lanes.idle();
  }

  async #process(delivery: RedriveDelivery, slot: Slot): Promise<void> {
    await this.#consumer.process(delivery, slot);
    const { ended } = delivery;
    if (ended !== undefined && ended.kind !== 'deadLetter') await this.#persist(delivery, resultOf(ended), slot);
  }

  /** The key is held until it is durable: what follows must not come before it. */
  async #persist(delivery: RedriveDelivery, result: RedriveOutcome, slot: Slot): Promise<void> {
    const { lost } = delivery;
    const failed = (error: unknown, nextTryMs: number): void =>
      this.tools.logger.warn(
        `${consumerName(delivery.subscription)}: that a dead letter was redriven could not be kept ` +
          `(${printable(messageOf(error))}); next try in ${nextTryMs} ms`,
      );
    const kept = await persist(() => this.#settle(delivery, { result }), { slot, lost, failed });
    if (kept === undefined) delivery.task.release();
  }

  #failed(failure: DeadLetter, delivery: RedriveDelivery): Promise<void> {
    return this.#settle(delivery, { result: 'failed', failure: sameLetter(failure, delivery.task.letter) });
  }

  async #settle(delivery: RedriveDelivery, end: RedriveEnd): Promise<void> {
    await delivery.task.settle(end);
    const { id: letter } = delivery.task.letter;
    this.tools.report({ type: 'redriven', letter, result: end.result, ...about(delivery) });
  }
}

class RedriveDelivery implements Delivery {
  readonly subscription: Subscription;
  readonly raw: RawEvent;
  readonly redelivered = true;
  /** One that failed is no company for others. */
  readonly alone = true;
  readonly lost: AbortSignal;
  ended: FinalOutcome | undefined;

  constructor(
    readonly task: RedriveTask,
    readonly content: Delivery['content'],
  ) {
    this.subscription = task.subscription;
    this.raw = task.letter.original;
    this.lost = task.lost;
  }

  acknowledge(outcome?: FinalOutcome): void {
    this.ended = outcome;
  }

  release(): void {
    this.task.release();
  }
}

/** A transport that is not configured here fails the redrive with its code, as bytes that are no event do. */
function contentOf(original: RawEvent, transports: TransportRegistry): Delivery['content'] {
  try {
    return transports.get(original.place.transport).decode(original);
  } catch (undecodable) {
    return { undecodable };
  }
}

/** It stays the dead letter that it was, also where the handler has got another id since. */
function sameLetter(failure: DeadLetter, { id, handler, original }: DeadLetter): DeadLetter {
  return { ...failure, id, handler, original };
}

function resultOf(ended: FinalOutcome): RedriveOutcome {
  if (ended.kind === 'drop') return 'dropped';
  return ended.kind === 'ack' && ended.reason === 'duplicate' ? 'duplicate' : 'handled';
}

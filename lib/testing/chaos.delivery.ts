import type { Delivery } from '../core/delivery.js';
import type { FinalOutcome } from '../core/outcome.js';

/** What becomes of a delivery when its handler is done. */
export type AcknowledgementPlan = 'none' | 'duplicate' | 'failBeforeAck' | 'failAfterAck';

export interface ChaosDeliveryInit {
  readonly inner: Delivery;
  readonly redelivered: boolean;
  readonly plan: AcknowledgementPlan;
  /** Counts the copies of one delivery, from 0. */
  readonly copy: number;
  /** Tells that the plan has come true. */
  readonly happened: () => void;
}

/** One of the times that a delivery is handed over. Only the last of them settles the one it stands for. */
export class ChaosDelivery implements Delivery {
  readonly inner: Delivery;
  readonly redelivered: boolean;
  readonly plan: AcknowledgementPlan;
  readonly copy: number;
  readonly lost: AbortSignal;
  readonly #happened: () => void;
  readonly #connection: AbortController | undefined;
  #state: 'open' | 'repeats' | 'settled' = 'open';

  constructor({ inner, redelivered, plan, copy, happened }: ChaosDeliveryInit) {
    this.inner = inner;
    this.redelivered = redelivered;
    this.plan = plan;
    this.copy = copy;
    this.#happened = happened;
    this.#connection = plan === 'failAfterAck' ? new AbortController() : undefined;
    this.lost = this.#connection === undefined ? inner.lost : AbortSignal.any([inner.lost, this.#connection.signal]);
  }

  get subscription(): Delivery['subscription'] {
    return this.inner.subscription;
  }

  get content(): Delivery['content'] {
    return this.inner.content;
  }

  get raw(): Delivery['raw'] {
    return this.inner.raw;
  }

  get alone(): boolean {
    return this.inner.alone === true;
  }

  get mayBeRedelivered(): boolean {
    return this.inner.mayBeRedelivered === true;
  }

  get willRepeat(): boolean {
    return this.plan === 'duplicate' || this.plan === 'failBeforeAck';
  }

  /** It is to be handed over once more: the broker was not told. */
  get repeats(): boolean {
    return this.#state === 'repeats';
  }

  /** The connection has died after the acknowledgement. */
  get died(): boolean {
    return this.#connection?.signal.aborted === true;
  }

  acknowledge(outcome?: FinalOutcome): void {
    if (this.#state !== 'open') return;
    if (this.willRepeat) {
      this.#state = 'repeats';
      return this.#happened();
    }
    this.#state = 'settled';
    this.inner.acknowledge(outcome);
    if (this.#connection === undefined) return;
    this.#happened();
    this.#connection.abort();
  }

  release(): void {
    if (this.#state !== 'open') return;
    this.#state = 'settled';
    this.inner.release();
  }
}

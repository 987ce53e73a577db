import type { BatchAttempt } from '../core/batch.js';
import { envelopeOf, type Attempt, type Delivery, type DeliveryHistory } from '../core/delivery.js';
import type { Envelope } from '../core/envelope.js';
import type { Subscription } from '../core/subscription.js';

export interface Circumstances {
  readonly history: DeliveryHistory;
  /** Aborted when shutdown's deadline has passed. */
  readonly deadline: AbortSignal;
}

/** What the attempts of either kind know. Classes, because one is made for every event: an object literal with a spread and a getter costs 70 times as much. */
abstract class Running implements DeliveryHistory {
  readonly attempt: number;
  readonly dependencyFailures: number;
  readonly conflicts: number;
  readonly firstFailureAt?: number;
  readonly retryingSince?: number;
  #signal: AbortSignal | undefined;
  #notes: Set<string> | undefined;

  constructor(private readonly circumstances: Circumstances) {
    const { history } = circumstances;
    this.attempt = history.attempt;
    this.dependencyFailures = history.dependencyFailures;
    this.conflicts = history.conflicts;
    if (history.firstFailureAt !== undefined) this.firstFailureAt = history.firstFailureAt;
    if (history.retryingSince !== undefined) this.retryingSince = history.retryingSince;
  }

  protected abstract lost(): readonly AbortSignal[];

  /** Made when asked for: most handlers never look. */
  get signal(): AbortSignal {
    return (this.#signal ??= AbortSignal.any([...this.lost(), this.circumstances.deadline]));
  }

  get notes(): Set<string> {
    return (this.#notes ??= new Set());
  }
}

export class RunningAttempt extends Running implements Attempt {
  readonly subscription: Subscription;

  constructor(
    readonly delivery: Delivery,
    readonly envelope: Envelope,
    circumstances: Circumstances,
  ) {
    super(circumstances);
    this.subscription = delivery.subscription;
  }

  protected override lost(): readonly AbortSignal[] {
    return [this.delivery.lost];
  }
}

export class RunningBatch extends Running implements BatchAttempt {
  readonly envelopes: Envelope[];
  readonly #all: readonly Envelope[];
  #handedOver: readonly number[];

  /** @param deliveries all decoded. */
  constructor(
    readonly subscription: Subscription,
    readonly deliveries: readonly Delivery[],
    circumstances: Circumstances,
  ) {
    super(circumstances);
    this.#all = deliveries.map((delivery) => envelopeOf(delivery) as Envelope);
    this.#handedOver = [...deliveries.keys()];
    this.envelopes = [...this.#all];
  }

  /** The positions of the deliveries that the handler got. */
  get handedOver(): readonly number[] {
    return this.#handedOver;
  }

  handOver(positions: readonly number[]): void {
    this.#handedOver = positions;
    // In place: Nest has bound the array to the handler's arguments already.
    const chosen = positions.map((position) => this.#all[position] as Envelope);
    this.envelopes.splice(0, this.envelopes.length, ...chosen);
  }

  protected override lost(): readonly AbortSignal[] {
    return [...new Set(this.deliveries.map((delivery) => delivery.lost))];
  }
}

import { sleep, type Clock } from '../core/clock.js';
import { envelopeOf, laneKeyOf, type Delivery } from '../core/delivery.js';
import type { Slot } from '../core/lanes.js';
import { consumerName } from '../core/subscription.js';
import type { ConsumeRequest } from '../core/transport.js';
import { ChaosDelivery, type AcknowledgementPlan } from './chaos.delivery.js';
import type { ChaosDice, InjectedFault, Situation } from './chaos.dice.js';
import type { ChaosFault } from './chaos.options.js';

/** An event can be unlucky again and again; it comes through in the end. */
const MAX_LOST_ACKNOWLEDGEMENTS = 3;

export interface ChaosTools {
  readonly dice: ChaosDice;
  readonly clock: Clock;
  readonly injected: (fault: InjectedFault) => void;
}

type Copy = Pick<ChaosDelivery, 'copy' | 'redelivered'>;

/** Between the lanes of a transport and the consumer. A repeat runs while the lane still holds its key. */
export class ChaosConsumer {
  readonly #situations = new WeakMap<Delivery, Situation>();
  /** What a batch left for {@link process}: the consumer knows it by the copy it had. */
  readonly #left = new WeakMap<Delivery, ChaosDelivery>();

  constructor(
    private readonly request: ConsumeRequest,
    private readonly tools: ChaosTools,
  ) {}

  async process(delivery: Delivery, slot: Slot): Promise<void> {
    const left = this.#left.get(delivery);
    this.#left.delete(delivery);
    if (left === undefined && !(await this.#arrives(delivery, slot))) return delivery.release();
    for (let copy = left ?? this.#first(delivery); ; copy = this.#next(copy)) {
      await this.request.process(copy, slot);
      await this.#returns([copy], slot);
      if (!copy.repeats) return;
    }
  }

  async processBatch(deliveries: readonly Delivery[], slot: Slot): Promise<readonly Delivery[]> {
    const ordered = this.#reordered(deliveries);
    await this.#delay(ordered, slot);
    const left = new Map<Delivery, ChaosDelivery>();
    let copies = this.#together(ordered.map((delivery) => this.#first(delivery)));
    while (copies.length > 0) {
      for (const copy of (await this.request.processBatch(copies, slot)) as ChaosDelivery[]) left.set(copy.inner, copy);
      await this.#returns(copies, slot);
      copies = this.#together(copies.filter(({ repeats }) => repeats).map((copy) => this.#next(copy)));
    }
    for (const [inner, copy] of left) this.#left.set(inner, copy);
    return ordered.filter((delivery) => left.has(delivery));
  }

  /** What follows in its key comes again with it: a broker forgets none of them before the first. */
  #together(copies: readonly ChaosDelivery[]): ChaosDelivery[] {
    const repeated = new Set<string>();
    return copies.map((copy) => {
      const key = laneKeyOf(copy);
      if (key === undefined) return copy;
      if (copy.willRepeat) repeated.add(key);
      return copy.willRepeat || !repeated.has(key) ? copy : this.#copy(copy.inner, copy, 'failBeforeAck');
    });
  }

  /** The connection that died comes back. */
  async #returns(copies: readonly ChaosDelivery[], slot: Slot): Promise<void> {
    const died = copies.filter((copy) => copy.died);
    if (died.length === 0) return;
    await slot.park(Math.max(...died.map(({ inner }) => this.#delayOf(inner, 'failAfterAck'))));
  }

  /** Late, or overtaken. `false`: the lanes have closed meanwhile. */
  async #arrives(delivery: Delivery, slot: Slot): Promise<boolean> {
    await this.#delay([delivery], slot);
    if (!this.#hits('reorder', delivery)) return true;
    this.#report('reorder', delivery);
    return slot.park(this.#delayOf(delivery, 'reorder'));
  }

  /** A batch is as late as the latest of it. */
  async #delay(deliveries: readonly Delivery[], slot: Slot): Promise<void> {
    const late = deliveries.filter((delivery) => this.#hits('delay', delivery));
    if (late.length === 0) return;
    for (const delivery of late) this.#report('delay', delivery);
    const delayMs = Math.max(...late.map((delivery) => this.#delayOf(delivery, 'delay')));
    await sleep(this.tools.clock, delayMs, slot.closing);
  }

  /** Those that others overtake come last in their batch, and what follows them in their key after them. */
  #reordered(deliveries: readonly Delivery[]): Delivery[] {
    const held = new Set<string>();
    const [first, last]: [Delivery[], Delivery[]] = [[], []];
    for (const delivery of deliveries) {
      const key = laneKeyOf(delivery);
      const overtaken = this.#hits('reorder', delivery);
      if (overtaken) this.#report('reorder', delivery);
      if (overtaken && key !== undefined) held.add(key);
      (overtaken || (key !== undefined && held.has(key)) ? last : first).push(delivery);
    }
    return [...first, ...last];
  }

  #first(inner: Delivery): ChaosDelivery {
    return this.#copy(inner, { copy: 0, redelivered: inner.redelivered });
  }

  /** A second copy in the broker is as new as the first; what was not acknowledged is known to have come before. */
  #next({ inner, copy, redelivered, plan }: ChaosDelivery): ChaosDelivery {
    return this.#copy(inner, { copy: copy + 1, redelivered: redelivered || plan === 'failBeforeAck' });
  }

  #copy(inner: Delivery, { copy, redelivered }: Copy, plan = this.#planOf(inner, copy)): ChaosDelivery {
    const happened = (): void => {
      if (plan !== 'none') this.#report(plan, inner);
    };
    return new ChaosDelivery({ inner, redelivered, plan, copy, happened });
  }

  #planOf(inner: Delivery, copy: number): AcknowledgementPlan {
    if (copy < MAX_LOST_ACKNOWLEDGEMENTS && this.#hits('failBeforeAck', inner, copy)) return 'failBeforeAck';
    if (copy === 0 && this.#hits('duplicate', inner)) return 'duplicate';
    return this.#hits('failAfterAck', inner, copy) ? 'failAfterAck' : 'none';
  }

  #hits(fault: ChaosFault, delivery: Delivery, repeat = 0): boolean {
    return this.tools.dice.hits(fault, this.#situationOf(delivery), repeat);
  }

  #delayOf(delivery: Delivery, fault: ChaosFault): number {
    return this.tools.dice.delayMs(fault, this.#situationOf(delivery));
  }

  #situationOf(delivery: Delivery): Situation {
    let situation = this.#situations.get(delivery);
    if (situation === undefined) {
      const envelope = envelopeOf(delivery);
      situation = this.tools.dice.situation(consumerName(delivery.subscription), {
        id: envelope?.id,
        name: envelope?.name ?? '',
        key: envelope?.key,
        body: delivery.raw.body,
      });
      this.#situations.set(delivery, situation);
    }
    return situation;
  }

  #report(fault: ChaosFault, { subscription, content }: Delivery): void {
    const consumer = consumerName(subscription);
    if (!('envelope' in content)) return this.tools.injected({ fault, consumer, event: 'an undecodable event' });
    const { name: event, id, key } = content.envelope;
    this.tools.injected({ fault, consumer, event, id, ...(key === undefined ? {} : { key }) });
  }
}

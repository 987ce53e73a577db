import { sleep, type Clock } from '../core/clock.js';
import type { Report } from '../core/activity.js';
import type { DeadLetter } from '../core/dead-letter.js';
import type { Envelope } from '../core/envelope.js';
import type { DeadLetterCollection, Transport } from '../core/transport.js';
import type { TransportRegistry } from '../core/transport-registry.js';
import type { DeadLetterStore } from '../dead-letter/dead-letter-store.js';
import type { TellDeadLetter } from '../handlers/dead-letter-listeners.js';
import { planOf, type PlacedSubscription } from './subscription-plan.js';
import { keyed } from './to-dead-letter.js';

export interface CollectorTools {
  readonly store: Pick<DeadLetterStore, 'add'>;
  readonly transports: TransportRegistry;
  readonly clock: Clock;
  readonly report: Report;
  readonly tell: TellDeadLetter;
}

/** Brings what lands with the brokers into the store. */
export class DeadLetterCollector {
  readonly #closing = new AbortController();
  #collections: DeadLetterCollection[] = [];

  constructor(private readonly tools: CollectorTools) {}

  async start(subscriptions: readonly PlacedSubscription[]): Promise<void> {
    const plans = planOf(subscriptions, this.tools.transports);
    const started = plans.map(async ({ transport, group, subscriptions: planned }) => {
      const handlers = [...new Set(planned.flatMap(({ handler, aliases }) => [handler, ...aliases]))];
      const collect = (letters: readonly DeadLetter[]): Promise<void> => this.#collect(letters, transport, group);
      this.#collections.push(await transport.collectDeadLetters({ group, handlers, collect }));
    });
    const failed = (await Promise.allSettled(started)).find((each) => each.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  /** What is not collected stays with the brokers. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#collections.splice(0).map((collection) => collection.close()));
  }

  async #collect(letters: readonly DeadLetter[], transport: Transport, group: string): Promise<void> {
    if (letters.length === 0) return;
    const decoded = letters.map((letter) => ({ letter, envelope: envelopeIn(letter, transport) }));
    await this.tools.store.add(decoded.map(({ letter, envelope }) => keyed(letter, envelope)));
    this.tools.report({ type: 'dead-letters-collected', transport: transport.name, group, count: letters.length });
    for (const { letter, envelope } of decoded) await this.#tell(letter, envelope);
  }

  /** Of those that a broker has made, nobody has been told; of the others, who wrote them was. */
  async #tell(letter: DeadLetter, envelope: Envelope | undefined): Promise<void> {
    if (letter.reason === 'failed') return;
    const told = await this.tools.tell(letter, envelope, async (delayMs) => {
      await sleep(this.tools.clock, delayMs, this.#closing.signal);
      return !this.#closing.signal.aborted;
    });
    // It stays with the broker, and is collected and told again.
    if (!told) throw new Error('the collector closes');
  }
}

function envelopeIn({ original }: DeadLetter, transport: Transport): Envelope | undefined {
  const content = transport.decode(original);
  return 'envelope' in content ? content.envelope : undefined;
}

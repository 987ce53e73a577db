import type { ConsumeMessage } from 'amqplib';
import { sleep, type Clock } from '../../core/clock.js';
import type { DeadLetter } from '../../core/dead-letter.js';
import { EventsError } from '../../core/errors.js';
import type { TakeDeadLetters } from '../../core/transport.js';
import { brokerText, isNotFound } from './rabbitmq.errors.js';
import type { Holding } from './rabbitmq.holding.js';

/** The broker may take a moment to notice that a channel is lost, and to give its messages back. */
const RETURN_PAUSE_MS = 250;

export interface TakingTools {
  readonly clock: Clock;
  /** Takes all of the queue that are ready. */
  readonly open: () => Promise<Holding>;
  /** While nobody else of this process looks into the queue. */
  readonly alone: <T>(work: () => Promise<T>) => Promise<T>;
  readonly read: (message: ConsumeMessage) => DeadLetter;
}

/** A dead letter and the messages that have it: it may have been written twice. */
interface Held {
  /** As it was written last. */
  letter: DeadLetter;
  readonly messages: ConsumeMessage[];
}

/**
 * Shows the dead letters of one queue one after another, and removes those that may go. A channel that is lost in between,
 * as it is after 30 minutes without an acknowledgement, is opened anew, as long as something was done on the last one.
 */
export class Taking {
  /** None is visited twice, also when it comes again on the next channel. */
  readonly #decided = new Map<string, 'remove' | 'keep'>();
  #held: readonly Held[] = [];
  /** Those that were there when it began. */
  #known: ReadonlySet<string> | undefined;
  #failure: { readonly error: unknown } | undefined;

  constructor(
    private readonly request: TakeDeadLetters,
    private readonly tools: TakingTools,
  ) {}

  /** Those that are hidden from readers of the queue, and not removed. */
  get held(): readonly DeadLetter[] {
    return this.#held.map(({ letter }) => letter).filter((letter) => this.#decided.get(versionOf(letter)) !== 'remove');
  }

  async run(): Promise<void> {
    for (let lost = await this.#round(); lost !== undefined;) {
      const decided = this.#decided.size;
      await sleep(this.tools.clock, RETURN_PAUSE_MS);
      const next = await this.#roundAfter(lost);
      if (next !== undefined && this.#decided.size === decided) throw this.#lostFor(next.reason);
      if (next === undefined && this.#isUndone()) throw this.#lostFor(lost.reason);
      lost = next;
    }
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** What a channel can take; resolves with the reason when it was lost. */
  async #round(): Promise<Holding['lost']> {
    const holding = await this.#open();
    if (holding === undefined) return undefined;
    for (const held of this.#held) {
      if (holding.lost !== undefined) break;
      if ((await this.#decide(held.letter)) === 'remove') for (const message of held.messages) holding.remove(message);
    }
    await holding.flush();
    const { lost } = holding;
    await this.tools.alone(async () => {
      await holding.close();
      this.#held = [];
    });
    return lost;
  }

  async #roundAfter(lost: { readonly reason: unknown }): Promise<Holding['lost']> {
    try {
      return await this.#round();
    } catch (error) {
      throw this.#failure?.error ?? this.#lostFor(new AggregateError([lost.reason, error], brokerText(error)));
    }
  }

  #open(): Promise<Holding | undefined> {
    return this.tools.alone(async () => {
      try {
        const holding = await this.tools.open();
        this.#held = this.#heldBy(holding);
        this.#known ??= new Set(this.#held.map(({ letter }) => versionOf(letter)));
        return holding;
      } catch (error) {
        if (isNotFound(error)) return undefined;
        throw error;
      }
    });
  }

  #heldBy({ messages }: Holding): Held[] {
    const byId = new Map<string, Held>();
    for (const message of messages) {
      const letter = this.tools.read(message);
      const known = byId.get(letter.id);
      if (known === undefined) byId.set(letter.id, { letter, messages: [message] });
      else {
        known.letter = letter;
        known.messages.push(message);
      }
    }
    const { group, handler } = this.request;
    const own = [...byId.values()].filter(({ letter }) => letter.group === group && letter.handler === handler);
    return own.sort((a, b) => Date.parse(a.letter.lastFailureAt) - Date.parse(b.letter.lastFailureAt));
  }

  async #decide(letter: DeadLetter): Promise<'remove' | 'keep' | undefined> {
    const { visit } = this.request;
    const version = versionOf(letter);
    const decided = this.#decided.get(version);
    if (decided !== undefined || this.#isOver || this.#known?.has(version) !== true) return decided;
    try {
      const decision = await visit(letter);
      this.#decided.set(version, decision);
      return decision;
    } catch (error) {
      this.#failure = { error };
      return undefined;
    }
  }

  get #isOver(): boolean {
    return this.request.signal.aborted || this.#failure !== undefined;
  }

  /** Some have not come back yet, or others have them. */
  #isUndone(): boolean {
    return !this.#isOver && this.#decided.size < (this.#known?.size ?? 0);
  }

  #lostFor(reason: unknown): unknown {
    const { group, handler } = this.request;
    return (
      this.#failure?.error ??
      new EventsError(
        'EVENTS_TRANSPORT_UNREACHABLE',
        `the channel on the dead letters of the group "${group}" was lost: ${brokerText(reason)}`,
        { handler, remedy: 'What was not removed is still there: try again.', cause: reason },
      )
    );
  }
}

/** One that failed again meanwhile is another one to decide about. */
const versionOf = ({ id, lastFailureAt }: DeadLetter): string => `${id} ${lastFailureAt}`;

import { uuidv7 } from 'uuidv7';
import { sleep, type Clock } from '../core/clock.js';
import type { DeadLetter } from '../core/dead-letter.js';
import { messageOf } from '../core/errors.js';
import { printable, type EventsLogger } from '../core/logger.js';
import { placesOf, type BrokerLetter, type LetterPlace } from './broker-letters.js';
import type { Redrive, RedriveRequest, RedriveResult } from './dead-letter-store.js';
import type { RunDeadLetter } from './run-dead-letter.js';

export interface BrokerRedriveTools {
  readonly run: RunDeadLetter;
  readonly clock: Clock;
  readonly logger: EventsLogger;
}

type Counted = RedriveResult['result'];

/** A redrive of dead letters that lie with brokers, by this process. What it knows ends with the process. */
export class BrokerRedrive {
  readonly id = uuidv7();
  readonly #results = new Map<string, RedriveResult>();
  readonly #places: readonly LetterPlace[];
  readonly #aborting = new AbortController();
  readonly #requestedAt: string;
  #running: string[] = [];
  #finishedAt: string | undefined;
  #nextAt = 0;

  constructor(
    letters: readonly BrokerLetter[],
    private readonly request: RedriveRequest,
    private readonly tools: BrokerRedriveTools,
  ) {
    this.#requestedAt = this.#now();
    this.#places = placesOf(letters);
    for (const { letter } of letters) {
      const { id, event, eventId } = letter;
      this.#results.set(id, {
        letter: id,
        ...(event === undefined ? {} : { event }),
        ...(eventId === undefined ? {} : { eventId }),
        result: 'pending',
      });
    }
  }

  get results(): readonly RedriveResult[] {
    return [...this.#results.values()];
  }

  resultOf(letter: string): RedriveResult | undefined {
    return this.#results.get(letter);
  }

  /** Where one of its dead letters stands; `undefined` when it is no longer, or never was, part of it. */
  stateOf(letter: string): 'requested' | 'running' | undefined {
    if (this.#running.includes(letter)) return 'running';
    return this.#results.get(letter)?.result === 'pending' ? 'requested' : undefined;
  }

  /** Handlers side by side, the dead letters of each one after another. Never rejects. */
  async start(): Promise<void> {
    await Promise.all(this.#places.map((place) => this.#take(place)));
    this.#abortPending();
    this.#finishedAt = this.#now();
  }

  /** What runs comes to its end. */
  abort(): void {
    this.#aborting.abort();
    this.#abortPending();
  }

  describe(): Redrive {
    const { by, note, ratePerSecond } = this.request;
    const over = this.#aborting.signal.aborted ? 'aborted' : 'done';
    return {
      ...{ id: this.id, by, requestedAt: this.#requestedAt },
      ...(note === undefined ? {} : { note }),
      ...(ratePerSecond === undefined ? {} : { ratePerSecond }),
      ...(this.#finishedAt === undefined ? { state: 'running' } : { state: over, finishedAt: this.#finishedAt }),
      total: this.#results.size,
      pending: this.#count('pending'),
      handled: this.#count('handled'),
      duplicates: this.#count('duplicate'),
      dropped: this.#count('dropped'),
      failed: this.#count('failed'),
      aborted: this.#count('aborted'),
    };
  }

  async #take({ transport, group, handler }: LetterPlace): Promise<void> {
    try {
      await transport.takeDeadLetters({
        ...{ group, handler, signal: this.#aborting.signal },
        visit: (letter) => this.#visit(letter),
      });
    } catch (error) {
      this.tools.logger.warn(
        `the redrive ${this.id} of ${group}.${handler} on ${transport.name} has stopped: ${printable(messageOf(error))}. ` +
          'What has not run is waiting still: redrive it again.',
      );
    }
  }

  /** A broker may have one twice: what has had its effect is removed as often as it comes. */
  async #visit(letter: DeadLetter): Promise<'remove' | 'keep'> {
    if (this.resultOf(letter.id)?.result === 'pending') await this.#redrive(letter);
    const result = this.resultOf(letter.id)?.result;
    return result === 'handled' || result === 'duplicate' || result === 'dropped' ? 'remove' : 'keep';
  }

  async #redrive(letter: DeadLetter): Promise<void> {
    await this.#turn();
    if (this.#aborting.signal.aborted) return;
    this.#running.push(letter.id);
    const end = await this.tools.run(letter);
    this.#running = this.#running.filter((id) => id !== letter.id);
    const before = this.#results.get(letter.id) as RedriveResult;
    if (end === undefined) return void this.#results.set(letter.id, { ...before, result: 'aborted' });
    const { result, failure } = end;
    const error = failure === undefined ? {} : { error: { code: failure.error.code, message: failure.error.message } };
    this.#results.set(letter.id, { ...before, result, ...error, at: this.#now() });
  }

  /** As many a second as were asked for. */
  async #turn(): Promise<void> {
    if (this.request.ratePerSecond === undefined) return;
    const now = this.tools.clock.now();
    const at = Math.max(now, this.#nextAt);
    this.#nextAt = at + 1_000 / this.request.ratePerSecond;
    if (at > now) await sleep(this.tools.clock, at - now, this.#aborting.signal);
  }

  #abortPending(): void {
    for (const [id, result] of this.#results) {
      if (result.result === 'pending' && !this.#running.includes(id)) {
        this.#results.set(id, { ...result, result: 'aborted' });
      }
    }
  }

  #count(result: Counted): number {
    return this.results.filter((each) => each.result === result).length;
  }

  #now(): string {
    return new Date(this.tools.clock.now()).toISOString();
  }
}

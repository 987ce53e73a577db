import { sleep } from '../core/clock.js';
import { doubled } from '../core/doubling.js';
import { messageOf } from '../core/errors.js';
import { printable } from '../core/logger.js';
import type { Subscription } from '../core/subscription.js';
import type { ClaimedDeadLetter, DeadLetterClaims } from '../dead-letter/dead-letter-store.js';
import type { HandlersHere } from './handlers-here.js';
import type { RedriveLanes, RedriveTools } from './redrive-lanes.js';

export interface RedriverTools extends Pick<RedriveTools, 'clock' | 'logger' | 'breakers'> {
  readonly store: DeadLetterClaims;
  readonly lanes: RedriveLanes;
  readonly handlers: HandlersHere;
  /** This process, for the store. */
  readonly by: string;
  /** How often the store is asked, in milliseconds. */
  readonly pollMs: number;
}

interface Claimed {
  readonly subscription: Subscription;
  readonly lost: AbortController;
  /** Milliseconds since the Unix epoch. */
  until: number;
}

const LEASE_MS = 30_000;
const EXTEND_EVERY_MS = 10_000;
const LONGEST_PAUSE_MS = 10_000;
/** So many times the handler's concurrency are claimed: the next ones are here when a place is free. */
const AHEAD = 2;
const MAX_CLAIM = 200;

/** Redrives what operators have requested of the store, anywhere, of the handlers that run in this process. */
export class Redriver {
  readonly #claimed = new Map<string, Claimed>();
  readonly #stopping = new AbortController();
  readonly #releasing = new Set<Promise<void>>();
  #rest = new AbortController();
  #hinted = false;
  #loops: Promise<unknown> = Promise.resolve();

  constructor(private readonly tools: RedriverTools) {}

  start(): void {
    if (this.tools.handlers.all.length > 0) this.#loops = Promise.all([this.#claimLoop(), this.#extendLoop()]);
  }

  /** Something may have been requested: no need to wait for the next poll. */
  hint(): void {
    this.#hinted = true;
    this.#rest.abort();
  }

  /** Claims nothing more. What has not started is given back, what runs goes on. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#rest.abort();
    // Before a claim under way is waited for: what it brings is given back at once.
    this.tools.lanes.close();
    await this.#loops;
  }

  /** Resolves when nothing runs and what did not is given back. Call after {@link stop}. */
  async drain(): Promise<void> {
    await this.tools.lanes.idle();
    await Promise.all(this.#releasing);
  }

  async #claimLoop(): Promise<void> {
    const { pollMs, logger } = this.tools;
    let failures = 0;
    while (!this.#stopping.signal.aborted) {
      try {
        this.#hinted = false;
        const more = await this.#claim();
        failures = 0;
        if (!more) await this.#pause(pollMs);
      } catch (error) {
        if (failures === 0) logger.warn(`dead letters to redrive cannot be asked for: ${printable(messageOf(error))}`);
        this.#hinted = false;
        await this.#pause(doubled(pollMs, failures++, Math.max(pollMs, LONGEST_PAUSE_MS)));
      }
    }
  }

  /** Returns whether there may be more. */
  async #claim(): Promise<boolean> {
    const { store, handlers, by } = this.tools;
    const ready = handlers.all.filter((subscription) => this.#roomOf(subscription) > 0);
    const room = ready.reduce((sum, subscription) => sum + this.#roomOf(subscription), 0);
    if (room === 0) return false;
    const limit = Math.min(room, MAX_CLAIM);
    const claims = await store.claim({ consumers: ready.flatMap(handlers.namesOf), limit, by, leaseMs: LEASE_MS });
    for (const claimed of claims) this.#push(claimed);
    return claims.length === limit;
  }

  /** A handler whose breaker is open gets nothing. */
  #roomOf(subscription: Subscription): number {
    const limit = Math.min(this.tools.breakers.of(subscription).limit.now, subscription.concurrency * AHEAD);
    const here = [...this.#claimed.values()].filter((each) => each.subscription === subscription).length;
    return Math.max(0, limit - here);
  }

  #push({ letter }: ClaimedDeadLetter): void {
    const { store, lanes, handlers, by, clock } = this.tools;
    const subscription = handlers.of(letter);
    if (subscription === undefined || this.#stopping.signal.aborted) return this.#giveBack(letter.id);
    const claimed = { subscription, lost: new AbortController(), until: clock.now() + LEASE_MS };
    this.#claimed.set(letter.id, claimed);
    lanes.push({
      ...{ letter, subscription, lost: claimed.lost.signal },
      settle: async (end) => {
        await store.settle({ letter: letter.id, ...end }, by);
        this.#done(letter.id);
      },
      release: () => {
        this.#done(letter.id);
        this.#giveBack(letter.id);
      },
    });
  }

  /** There is a place, and what followed it in its key may go on. */
  #done(letter: string): void {
    this.#claimed.delete(letter);
    this.hint();
  }

  /** The lease would give it back as well, only later. */
  #giveBack(letter: string): void {
    const { store, by, logger } = this.tools;
    const releasing = store
      .release([letter], by)
      .catch((error: unknown) => logger.debug(`a claim was not given back: ${printable(messageOf(error))}`))
      .finally(() => this.#releasing.delete(releasing));
    this.#releasing.add(releasing);
  }

  async #extendLoop(): Promise<void> {
    const { clock } = this.tools;
    while (!this.#stopping.signal.aborted) {
      await sleep(clock, EXTEND_EVERY_MS, this.#stopping.signal);
      if (this.#claimed.size > 0) await this.#extend();
    }
  }

  async #extend(): Promise<void> {
    const { store, by, clock, logger } = this.tools;
    const claims = [...this.#claimed];
    const until = clock.now() + LEASE_MS;
    try {
      const kept = new Set(await store.extend(claims.map(([letter]) => letter), { by, leaseMs: LEASE_MS })); // prettier-ignore
      for (const [letter, claimed] of claims) if (kept.has(letter)) claimed.until = until;
      for (const [letter, claimed] of claims) if (!kept.has(letter) && this.#claimed.has(letter)) claimed.lost.abort();
    } catch (error) {
      logger.warn(`the claims on dead letters could not be extended: ${printable(messageOf(error))}`);
      for (const [, claimed] of claims) if (claimed.until <= clock.now()) claimed.lost.abort();
    }
  }

  async #pause(delayMs: number): Promise<void> {
    if (this.#hinted) return;
    this.#rest = new AbortController();
    if (this.#stopping.signal.aborted) return;
    await sleep(this.tools.clock, delayMs, this.#rest.signal);
  }
}

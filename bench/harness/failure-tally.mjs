/** Fails the events that shall fail, and counts what became of all of them. */
import { FIRST_SEQUENCE } from './events.mjs';
import { ALWAYS } from './failing-events.mjs';
import { percentile } from './statistics.mjs';

const HANDLER_MS = 1;
/** Tried more often than this, and not a dead letter: it goes round. */
const LOOPS_AFTER = 10;

/** @typedef {import('./events.mjs').EventData} EventData */

export class FailureTally {
  /** Whether the event that comes before all others has arrived. */
  warm = false;
  #failures;
  #failing;
  /** @type {Uint32Array} by index */
  #attempts;
  /** @type {Uint8Array} by index: how often it has succeeded */
  #successes;
  /** @type {Map<number, number>} the latest index that has succeeded, by key */
  #latest = new Map();
  /** @type {Map<number, number>} when it was published, by index */
  #publishedAt = new Map();
  /** @type {number[]} milliseconds from publishing to the success */
  #took = [];
  #good = 0;
  #goodTotal;
  #outOfOrder = 0;
  #beganAt = NaN;
  #lastGoodAt = NaN;
  #lastAttemptAt = 0;
  #ended = false;
  #endedAt = NaN;

  /**
   * @param {number[]} failures how often each event fails
   * @param {{ failing: boolean }} options false: nothing fails
   */
  constructor(failures, { failing }) {
    this.#failures = failures;
    this.#failing = failing;
    this.#attempts = new Uint32Array(failures.length);
    this.#successes = new Uint8Array(failures.length);
    this.#goodTotal = failures.filter((times) => times !== ALWAYS).length;
  }

  /** @param {EventData} data */
  published({ sequence }) {
    this.#begin();
    this.#publishedAt.set(sequence - FIRST_SEQUENCE, performance.now());
  }

  /** @param {EventData} data */
  async handle({ sequence, user }) {
    const index = sequence - FIRST_SEQUENCE;
    const fails = this.#failures[index];
    if (fails === undefined) {
      this.warm = true;
      return;
    }
    this.#begin();
    this.#lastAttemptAt = performance.now();
    const attempt = (this.#attempts[index] = (this.#attempts[index] ?? 0) + 1);
    await new Promise((resolve) => setTimeout(resolve, HANDLER_MS));
    if (this.#failing && attempt <= fails) throw new Error('it fails on purpose');
    this.#succeeded(index, user);
  }

  get finished() {
    return this.#good === this.#goodTotal;
  }

  /** @param {number} ms since the first event */
  ranFor(ms) {
    return performance.now() - this.#beganAt > ms;
  }

  /** @param {number} ms since the last attempt of any event */
  quietFor(ms) {
    return performance.now() - this.#lastAttemptAt > ms;
  }

  /** What is handled from now on is not lost, and counts for nothing else. */
  end() {
    this.#ended = true;
    this.#endedAt = performance.now();
  }

  /**
   * @param {import('./left-behind.mjs').LeftBehind | undefined} left
   * @returns {import('./types.mjs').Measured}
   */
  measured(left) {
    const until = this.#allSettled(left) ? this.#lastGoodAt : this.#endedAt;
    const seconds = (until - this.#beganAt) / 1_000;
    return {
      metrics: [{ unit: 'events/s', value: this.#good === 0 ? 0 : this.#good / seconds }],
      facts: {
        'good not handled': this.#goodTotal - this.#good,
        ...this.#effects(),
        ...(this.#failing && left ? this.#deadLetters(left) : {}),
        ...(this.#took.length > 0
          ? { 'p50 ms': percentile(this.#took, 0.5), 'p99 ms': percentile(this.#took, 0.99) }
          : {}),
      },
    };
  }

  /**
   * Whether no good event is still to come: who stands still is not timed to the last event before that.
   * @param {import('./left-behind.mjs').LeftBehind | undefined} left
   */
  #allSettled(left) {
    const isSettled = (/** @type {number} */ index) =>
      this.#failures[index] === ALWAYS ||
      this.#successes[index] > 0 ||
      left?.deadLetters.has(index + FIRST_SEQUENCE) === true;
    return this.#failures.every((_, index) => isSettled(index));
  }

  #effects() {
    const twice = this.#successes.filter((times) => times > 1).length;
    return { 'good handled twice': twice, 'out of order': this.#outOfOrder };
  }

  /** @param {import('./left-behind.mjs').LeftBehind} left */
  #deadLetters({ deadLetters, deadLettersTwice, waiting }) {
    const all = [...this.#failures.entries()];
    const poison = all.filter(([, times]) => times === ALWAYS).map(([index]) => index);
    const isDead = (/** @type {number} */ index) => deadLetters.has(index + FIRST_SEQUENCE);
    const open = all.map(([index]) => index).filter((index) => !this.#successes[index] && !isDead(index));
    const attempts = poison.map((index) => this.#attempts[index] ?? 0);
    return {
      'poison in dead letters': poison.filter(isDead).length,
      'good in dead letters': all.filter(([index, times]) => times !== ALWAYS && isDead(index)).length,
      'dead letters twice': deadLettersTwice,
      lost: open.filter((index) => !waiting.has(index + FIRST_SEQUENCE)).length,
      'still at the broker': open.filter((index) => waiting.has(index + FIRST_SEQUENCE)).length,
      'poison going round': poison.filter((index) => !isDead(index) && (this.#attempts[index] ?? 0) > LOOPS_AFTER)
        .length,
      'attempts per poison': attempts.reduce((sum, each) => sum + each, 0) / attempts.length,
      'most attempts': Math.max(...attempts),
    };
  }

  #begin() {
    if (Number.isNaN(this.#beganAt)) this.#beganAt = performance.now();
  }

  /**
   * @param {number} index
   * @param {number} user
   */
  #succeeded(index, user) {
    if (this.#failures[index] === ALWAYS) return; // n.b. in a run without failures it is no good one either
    this.#successes[index] = (this.#successes[index] ?? 0) + 1;
    if (this.#successes[index] !== 1 || this.#ended) return;
    this.#good++;
    this.#lastGoodAt = performance.now();
    if (index < (this.#latest.get(user) ?? -1)) this.#outOfOrder++;
    else this.#latest.set(user, index);
    const publishedAt = this.#publishedAt.get(index);
    if (publishedAt !== undefined) this.#took.push(this.#lastGoodAt - publishedAt);
  }
}

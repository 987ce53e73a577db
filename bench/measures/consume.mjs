/**
 * How many events a second are handled, of those that wait at the broker. The time runs from the first to the last
 * handled event. Also watches whether events of one key were handled one after another and in order.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { FIRST_SEQUENCE } from '../harness/events.mjs';
import { meter } from '../harness/meter.mjs';

const STALL_MS = 30_000;

/**
 * @param {import('../harness/types.mjs').Contestant} contestant
 * @param {import('../harness/types.mjs').Job} job settings: count, handlerMs, longestMs
 * @returns {Promise<import('../harness/types.mjs').Measured>}
 */
export async function measure(contestant, { target, options, settings }) {
  const { count = 0, handlerMs = 0, longestMs = 0 } = settings;
  const tally = new Tally(count, longestMs);
  const session = await contestant.open({
    target,
    options,
    publishes: false,
    handle: handlerMs === 0 ? noOp(tally) : waiting(tally, handlerMs),
  });
  const measured = await tally.result();
  await session.close();
  return measured;
}

/** @param {Tally} tally */
function noOp(tally) {
  return (/** @type {import('../harness/types.mjs').EventData} */ data) => {
    tally.begin(data);
    tally.end(data);
  };
}

/**
 * @param {Tally} tally
 * @param {number} handlerMs
 */
function waiting(tally, handlerMs) {
  return async (/** @type {import('../harness/types.mjs').EventData} */ data) => {
    tally.begin(data);
    await new Promise((resolve) => setTimeout(resolve, handlerMs));
    tally.end(data);
  };
}

class Tally {
  #seen;
  #handled = 0;
  #inOrder = true;
  /** @type {Map<number, { running: number, last: number }>} */
  #users = new Map();
  /** @type {ReturnType<typeof meter> | undefined} */
  #meter;
  #endsAt = Infinity;
  /** @type {(() => void) | undefined} */
  #finish;

  /**
   * @param {number} count
   * @param {number} longestMs
   */
  constructor(count, longestMs) {
    this.count = count;
    this.longestMs = longestMs;
    this.#seen = new Uint8Array(count);
  }

  /** @param {import('../harness/types.mjs').EventData} data */
  begin({ user, sequence }) {
    if (!this.#meter) this.#start();
    const state = this.#users.get(user);
    if (!state) {
      this.#users.set(user, { running: 1, last: sequence });
      return;
    }
    if (state.running > 0 || sequence <= state.last) this.#inOrder = false;
    state.running++;
    state.last = sequence;
  }

  /** @param {import('../harness/types.mjs').EventData} data */
  end({ user, sequence }) {
    const state = this.#users.get(user);
    if (state) state.running--;
    const index = sequence - FIRST_SEQUENCE;
    if (this.#seen[index] === 1) return; // delivered twice counts once
    this.#seen[index] = 1;
    this.#handled++;
    if (this.#handled === this.count || performance.now() > this.#endsAt) this.#finish?.();
  }

  #start() {
    this.#meter = meter();
    this.#endsAt = performance.now() + this.longestMs;
  }

  /** @returns {Promise<import('../harness/types.mjs').Measured>} */
  async result() {
    const stalled = new AbortController();
    await Promise.race([
      new Promise((resolve) => (this.#finish = () => resolve(undefined))),
      this.#stall(stalled.signal),
    ]);
    const { seconds, cpuMicroseconds } = this.#meter?.() ?? { seconds: NaN, cpuMicroseconds: NaN };
    stalled.abort();
    return {
      metrics: [{ unit: 'events/s', value: this.#handled / seconds }],
      cpuMicroseconds: cpuMicroseconds / this.#handled,
      inOrder: this.#inOrder,
    };
  }

  /** @param {AbortSignal} signal */
  async #stall(signal) {
    for (let before = -1; !signal.aborted; await sleep(STALL_MS, undefined, { ref: false })) {
      if (this.#handled === before) {
        throw new Error(`It stands still: ${this.#handled} of ${this.count} events were handled.`);
      }
      before = this.#handled;
    }
  }
}

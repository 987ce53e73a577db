import { Random } from '../support/random.js';

export interface Entry {
  readonly n: number;
  readonly key: string;
}

const POISON_SHARE = 0.01;
const FLAKY_SHARE = 0.1;

/** Events of which one in a hundred always fails, and one in ten once or twice. */
export class FailingEvents {
  readonly entries: readonly Entry[];
  readonly #times: number[];

  constructor({ count, keys, seed }: { readonly count: number; readonly keys: number; readonly seed: number }) {
    const random = new Random(seed);
    this.entries = Array.from({ length: count }, (_, n) => ({ n, key: `key-${random.between(1, keys)}` }));
    this.#times = this.entries.map(() => 0);
    const shuffled = random.shuffled(this.entries.map(({ n }) => n));
    const poison = Math.round(count * POISON_SHARE);
    for (const n of shuffled.slice(0, poison)) this.#times[n] = Infinity;
    const flaky = shuffled.slice(poison, poison + Math.round(count * FLAKY_SHARE));
    for (const n of flaky) this.#times[n] = random.between(1, 2);
  }

  /** How often an event fails before it succeeds. */
  timesOf(n: number): number {
    return this.#times[n] ?? 0;
  }
}

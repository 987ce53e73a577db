/** How many may run at the same time, as it changes. */
export interface Limit {
  /** None: 0. Without a limit: `Infinity`. */
  readonly now: number;
  /** Calls back whenever {@link now} has changed. The returned function ends that. */
  onChange(changed: () => void): () => void;
}

export const UNLIMITED: Limit = { now: Infinity, onChange: () => () => undefined };

/** All of them at once: at any time the lowest holds. */
export function lowest(...limits: readonly Limit[]): Limit {
  const effective = limits.filter((limit) => limit !== UNLIMITED);
  const [only = UNLIMITED] = effective;
  if (effective.length <= 1) return only;
  return {
    get now() {
      let now = Infinity;
      for (const limit of effective) now = Math.min(now, limit.now);
      return now;
    },
    onChange(changed) {
      const ends = effective.map((limit) => limit.onChange(changed));
      return () => {
        for (const end of ends) end();
      };
    },
  };
}

/** A limit that is set by hand. */
export class SettableLimit implements Limit {
  readonly #listeners = new Set<() => void>();
  #now: number;

  constructor(now = Infinity) {
    this.#now = now;
  }

  get now(): number {
    return this.#now;
  }

  set(now: number): void {
    if (now === this.#now) return;
    this.#now = now;
    for (const changed of [...this.#listeners]) changed();
  }

  onChange(changed: () => void): () => void {
    // One of its own for each: the same function may be told twice, and each ends by itself.
    const listener = (): void => changed();
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}

import type { TestApp } from '../support/nest-app.js';

const KEYS = 20;
/** Each of another key, in the middle of it. */
const POISON = new Set([41, 62, 84, 100, 103]);
export const POISON_COUNT = POISON.size;

export interface Entry {
  readonly n: number;
}

/** Entries that are published, each key in its turn, and their ids. */
export class Entries {
  readonly ids = new Map<number, string>();

  constructor(
    private readonly app: TestApp,
    private readonly name: string,
  ) {}

  async publish(from: number, to: number): Promise<void> {
    const ns = Array.from({ length: to - from }, (_, index) => from + index);
    const sent = await this.app.bus.publishAll(
      ns.map((n) => ({ name: this.name, data: { n } satisfies Entry, key: keyOf(n) })),
    );
    sent.forEach(({ id }, index) => this.ids.set(from + index, id));
  }

  /** The ids of those for which it is true, sorted. */
  idsOf(isIt: (n: number) => boolean): string[] {
    return [...this.ids]
      .filter(([n]) => isIt(n))
      .map(([, id]) => id)
      .sort();
  }
}

export const isPoison = (n: number): boolean => POISON.has(n);
/** Behind a poison entry of its key. */
export const isFollower = (n: number): boolean => [...POISON].some((each) => each < n && keyOf(each) === keyOf(n));
export const isFree = (n: number): boolean => !isPoison(n) && !isFollower(n);

function keyOf(n: number): string {
  return `key-${n % KEYS}`;
}

/** Whether the numbers of each key are in their order. */
export function inOrder(ns: readonly number[]): boolean {
  const last = new Map<string, number>();
  return ns.every((n) => {
    const before = last.get(keyOf(n)) ?? -1;
    last.set(keyOf(n), n);
    return before < n;
  });
}

/** One for each time that an event was handled, sorted. */
export function handledIds(app: TestApp): (string | undefined)[] {
  return app
    .of('handled')
    .map(({ id }) => id)
    .sort();
}

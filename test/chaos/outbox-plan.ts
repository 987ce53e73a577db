import type { Random } from '../support/random.js';

/** What a writer does in one transaction. */
export interface PlannedTransaction {
  /** In this order; several of one key, or of several keys. */
  readonly events: readonly { readonly id: string; readonly key: string }[];
  /** How long it stays open after enrolling. */
  readonly lateMs: number;
  readonly rollsBack: boolean;
}

const KEYS = 200;
const MOST_EVENTS = 6;

/** Transactions of random length that commit `events` events together, and more that roll back. */
export function planTransactions(events: number, random: Random): PlannedTransaction[] {
  const planned: PlannedTransaction[] = [];
  for (let committed = 0; committed < events;) {
    const rollsBack = random.next() < 0.1;
    const count = Math.min(random.between(1, MOST_EVENTS), rollsBack ? MOST_EVENTS : events - committed);
    planned.push({ events: eventsOf(planned.length, count, random), lateMs: lateMs(random), rollsBack });
    if (!rollsBack) committed += count;
  }
  return planned;
}

function eventsOf(transaction: number, count: number, random: Random): PlannedTransaction['events'] {
  const oneKey = random.next() < 0.3 ? keyOf(random) : undefined;
  return Array.from({ length: count }, (_, n) => ({ id: `${transaction}-${n}`, key: oneKey ?? keyOf(random) }));
}

function keyOf(random: Random): string {
  return `key ${random.between(1, KEYS)}`;
}

/** Most end at once; some so late that others, which began after them, are long published. */
function lateMs(random: Random): number {
  return random.next() < 0.05 ? random.between(200, 800) : random.between(0, 10);
}

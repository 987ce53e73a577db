import type { QueryRunner } from 'typeorm';
import { giveBack } from '../typeorm/give-back.js';
import { readCommitted } from '../typeorm/read-committed.js';
import { envelopeFromJson } from './outbox-entry.js';
import type { RelayRequest, RelayResult, TakenEntry } from './outbox-store.js';
import type { OutboxTable } from './typeorm-outbox-table.js';
import { settle } from './typeorm-settle.js';
import { findDue, lockSlots, readDue, readHeld, type Taken } from './typeorm-take.js';

/** What a batch is made of. */
export interface RelayBatch {
  /** With a connection of its own; released at the end. */
  readonly runner: QueryRunner;
  readonly table: OutboxTable;
  readonly request: RelayRequest;
}

/** One batch of the relay: take what is due, have it published, write down what became of it. One transaction, if anything is due. */
export async function relayBatch(batch: RelayBatch): Promise<RelayResult> {
  const { runner, table, request } = batch;
  try {
    const { slots, nextDueInMs } = await findDue(runner, table, request.transport);
    if (slots.length === 0) return { taken: 0, more: false, nextDueInMs };
    // Read committed: the rows have to be those after the locks were had.
    return { ...(await readCommitted(runner, () => relaySlots(batch, slots))), nextDueInMs };
  } finally {
    await giveBack(runner);
  }
}

async function relaySlots(
  { runner, table, request }: RelayBatch,
  due: readonly number[],
): Promise<Omit<RelayResult, 'nextDueInMs'>> {
  const { transport, limit, leaseMs } = request;
  const slots = await lockSlots(runner, table.lockOf(transport), { slots: due, leaseMs });
  // Others are at work there.
  if (slots.length === 0) return { taken: 0, more: false };
  const taken = await readDue(runner, table, { transport, slots, limit });
  // As they were enrolled, though between lines nobody promises it.
  taken.sort((a, b) => Number(a.position) - Number(b.position));
  const lines = headsOf(taken);
  const room = limit - taken.length;
  if (lines.length > 0 && room > 0) {
    taken.push(...(await readHeld(runner, table, { transport, lines, limit: room })));
  }
  const handed = taken.filter(({ envelope }) => envelope !== null);
  const results = handed.length === 0 ? [] : await request.publish(handed.map(toEntry));
  const next = results[Symbol.iterator]();
  const relayed = taken.map(({ envelope }) => (envelope === null ? undefined : next.next().value) ?? LEFT);
  await settle(runner, table, { transport, taken, relayed });
  return { taken: handed.length, more: taken.length > 0 };
}

const LEFT = { type: 'left' } as const;

function headsOf(taken: readonly Taken[]): string[] {
  return taken.flatMap(({ state, line }) => (state === 'retrying' && line !== null ? [line] : []));
}

function toEntry({ envelope, line, attempts }: Taken): TakenEntry {
  return { read: () => envelopeFromJson(envelope as string), line: line ?? undefined, failures: attempts };
}

import { createEnvelope } from '../core/envelope.js';
import type {
  OutboxEntry,
  OutboxStore,
  Relayed,
  RelayRequest,
  RelayResult,
  TakenEntry,
} from '../outbox/outbox-store.js';
import { inTime } from './waiting.js';

/** Where the entries of most cases go. */
export const TRANSPORT = 'kafka';

/** An entry whose id is its name, for a line of its key. */
export function entryOf(id: string, key?: string, rest: Partial<OutboxEntry> = {}): OutboxEntry {
  const keyed = key === undefined ? {} : { key };
  return {
    envelope: createEnvelope({ id, name: 'orders.order.placed', source: 'shop', data: { id }, ...keyed }),
    transport: TRANSPORT,
    ...rest,
  };
}

export async function enrolled(store: OutboxStore, ...entries: readonly OutboxEntry[]): Promise<void> {
  await inTime(
    store.transactional(() => store.enrol(entries)),
    'enrol()',
  );
}

const PUBLISHED: Relayed = { type: 'published' };

/** What becomes of an entry; published unless said otherwise. */
export type Decide = (id: string, entry: TakenEntry) => Relayed | Promise<Relayed> | undefined;

/** One call of `relay`; returns the ids it was handed, in order, beside the result. */
export async function relayOnce(
  store: OutboxStore,
  decide: Decide = () => undefined,
  request: Partial<Omit<RelayRequest, 'publish'>> = {},
): Promise<RelayResult & { readonly ids: string[] }> {
  const ids: string[] = [];
  const result = await inTime(
    store.relay({
      ...{ transport: TRANSPORT, limit: 1_000, leaseMs: 60_000, ...request },
      publish: async (entries) => {
        const taken = entries.map((entry) => ({ entry, id: entry.read().id }));
        ids.push(...taken.map(({ id }) => id));
        return Promise.all(taken.map(async ({ id, entry }) => (await decide(id, entry)) ?? PUBLISHED));
      },
    }),
    'relay()',
  );
  return { ...result, ids };
}

/** Calls `relay` until nothing is due; returns the ids in the order they were handed over. */
export async function relayAll(
  store: OutboxStore,
  decide?: Decide,
  request?: Partial<Omit<RelayRequest, 'publish'>>,
): Promise<string[]> {
  const ids: string[] = [];
  for (;;) {
    const result = await relayOnce(store, decide, request);
    ids.push(...result.ids);
    if (result.taken === 0 && !result.more) return ids;
  }
}

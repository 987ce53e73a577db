import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RedriveOutcome } from '../core/activity.js';
import type { DeadLetter } from '../core/dead-letter.js';
import { uuidFrom } from '../core/uuid.js';
import type {
  ClaimRequest,
  DeadLetterState,
  DeadLetterStore,
  Redrive,
  RedriveRequest,
} from '../dead-letter/dead-letter-store.js';
import { inTime } from './waiting.js';

const GROUP = 'shop';
const HANDLER = 'stock.reserve';
/** The consumer of most cases. */
export const CONSUMER = `${GROUP}.${HANDLER}`;
export const OPERATOR = { by: 'ada', note: 'fixed in 1.2.3' };

/** A dead letter that a case knows by its name, which is its event's id. */
export function letterOf(name: string, key?: string, rest: Partial<DeadLetter> = {}): DeadLetter {
  return {
    id: uuidFrom(name),
    group: GROUP,
    handler: HANDLER,
    event: 'orders.order.placed',
    eventId: name,
    reason: 'failed',
    error: { class: 'RangeError', code: 'OUT_OF_STOCK', message: 'out of stock', stack: 'RangeError: out of stock' },
    attempts: 4,
    firstFailureAt: '2026-01-02T03:04:05.006Z',
    lastFailureAt: '2026-01-02T03:04:06.789Z',
    original: {
      place: { transport: 'kafka', address: 'orders.order', partition: 2, position: '9007199254740993' },
      body: Buffer.from(JSON.stringify({ name })),
      headers: { ce_id: name },
      ...(key === undefined ? {} : { key: Buffer.from(key) }),
    },
    ...rest,
  };
}

export const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n);
export const idOf = (name: string): string => uuidFrom(name);

/** It fails once more, later. */
export function failedAgain(letter: DeadLetter, message = 'still out of stock'): DeadLetter {
  return {
    ...letter,
    error: { class: 'TypeError', code: 'STILL', message },
    attempts: 1,
    lastFailureAt: new Date(Date.parse(letter.lastFailureAt) + 60_000).toISOString(),
  };
}

export async function claim(store: DeadLetterStore, request: Partial<ClaimRequest> = {}): Promise<string[]> {
  const claimed = await inTime(
    store.claim({ consumers: [CONSUMER], limit: 100, by: 'one', leaseMs: 60_000, ...request }),
    'claim()',
  );
  return claimed.map(({ letter }) => letter.eventId ?? '');
}

/** Claims until something comes. */
export async function claimEventually(store: DeadLetterStore, request: Partial<ClaimRequest> = {}): Promise<string[]> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const names = await claim(store, request);
    if (names.length > 0) return names;
    if (performance.now() > deadline) assert.fail('nothing could be claimed within 10 s');
    await sleep(10);
  }
}

export async function settle(
  store: DeadLetterStore,
  names: string | readonly string[],
  { result = 'handled', by = 'one' }: { readonly result?: RedriveOutcome; readonly by?: string | undefined } = {},
): Promise<void> {
  for (const name of [names].flat()) {
    const failure = result === 'failed' ? { failure: failedAgain(letterOf(name)) } : {};
    await inTime(store.settle({ letter: idOf(name), result, ...failure }, by), 'settle()');
  }
}

/** Claims and settles until nothing is left, in one process; returns the names in order. */
export async function runAll(
  store: DeadLetterStore,
  decide: (name: string) => RedriveOutcome = () => 'handled',
  request: Partial<ClaimRequest> = {},
): Promise<string[]> {
  const run: string[] = [];
  for (;;) {
    const names = await claim(store, request);
    if (names.length === 0) return run;
    for (const name of names) await settle(store, name, { result: decide(name), by: request.by });
    run.push(...names);
  }
}

export async function requested(
  store: DeadLetterStore,
  names?: readonly string[],
  request: Partial<RedriveRequest> = {},
): Promise<Redrive> {
  const filter = names === undefined ? {} : { ids: names.map(idOf) };
  return inTime(store.request(filter, { ...OPERATOR, ...request }), 'request()');
}

export async function stateOf(store: DeadLetterStore, name: string): Promise<DeadLetterState | undefined> {
  return (await store.get(idOf(name)))?.state;
}

export async function statesOf(store: DeadLetterStore, ...names: readonly string[]): Promise<unknown[]> {
  return Promise.all(names.map((name) => stateOf(store, name)));
}

/** Names by page after page of what matches. */
export async function listed(
  store: DeadLetterStore,
  filter: Parameters<DeadLetterStore['list']>[0] = {},
  limit?: number,
): Promise<string[]> {
  const names: string[] = [];
  let after: string | undefined;
  do {
    const page = await inTime(
      store.list(filter, { ...(limit === undefined ? {} : { limit }), ...(after === undefined ? {} : { after }) }),
      'list()',
    );
    names.push(...page.items.map(({ eventId }) => eventId ?? ''));
    after = page.next;
  } while (after !== undefined);
  return names;
}

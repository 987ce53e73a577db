import { isUtf8 } from 'node:buffer';
import type { DeadLetter } from '../core/dead-letter.js';
import { matchesPattern } from '../core/event-name.js';
import type { Subscription } from '../core/subscription.js';
import type { Transport } from '../core/transport.js';
import type { TransportRegistry } from '../core/transport-registry.js';
import type { DeadLetterCriteria } from './dead-letter-store.js';

/** Whose dead letters: a handler's, by an id it has or had. */
export interface DeadLetterOwner {
  readonly group: string;
  readonly handler: string;
}

/** A dead letter and the transport it lies with. */
export interface BrokerLetter {
  readonly letter: DeadLetter;
  readonly transport: Transport;
}

export type KnownHandler = Pick<Subscription, 'group' | 'handler' | 'aliases'>;

/** How many of each handler and transport are looked at. */
const MAX_READ = 10_000;

/** Those that a filter can be about: the handlers known here, and one that the filter names. */
export function ownersFor({ group, handler }: DeadLetterCriteria, known: readonly KnownHandler[]): DeadLetterOwner[] {
  if (group !== undefined && handler !== undefined) return [{ group, handler }];
  const owners = known.flatMap((each) =>
    [each.handler, ...each.aliases].map((id) => ({ group: each.group, handler: id })),
  );
  return owners.filter((each) => (group ?? each.group) === each.group && (handler ?? each.handler) === each.handler);
}

/** Where the dead letters of one handler lie. */
export interface LetterPlace extends DeadLetterOwner {
  readonly transport: Transport;
}

/** Each place once. */
export function placesOf(letters: readonly BrokerLetter[]): LetterPlace[] {
  const places = letters.map(({ letter: { group, handler }, transport }) => ({ transport, group, handler }));
  return [
    ...new Map(places.map((each) => [JSON.stringify([each.transport.name, each.group, each.handler]), each])).values(),
  ];
}

/** Those that match, oldest first. */
export async function readLetters(
  filter: DeadLetterCriteria,
  owners: readonly DeadLetterOwner[],
  transports: TransportRegistry,
): Promise<BrokerLetter[]> {
  const places = owners.flatMap((owner) => transports.all.map((transport) => ({ owner, transport })));
  const read = await Promise.all(
    places.map(async ({ owner, transport }) => {
      const letters = await transport.readDeadLetters({ ...owner, limit: MAX_READ });
      return letters.filter((letter) => matches(letter, filter)).map((letter) => ({ letter, transport }));
    }),
  );
  const unique = new Map(read.flat().map((each) => [each.letter.id, each]));
  return [...unique.values()].sort(byAge);
}

/** The text of a key, or its bytes as base64: any bytes can be a broker's key. */
function keyOf({ original: { key } }: DeadLetter): string | undefined {
  if (key === undefined) return undefined;
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString(isUtf8(key) ? 'utf8' : 'base64');
}

function matches(letter: DeadLetter, filter: DeadLetterCriteria): boolean {
  const { ids, event, eventId, key, error, reason, transport, from, to } = filter;
  const failedAt = Date.parse(letter.lastFailureAt);
  return (
    (ids?.includes(letter.id) ?? true) &&
    (event === undefined || (letter.event !== undefined && matchesPattern(event, letter.event))) &&
    (eventId ?? letter.eventId) === letter.eventId &&
    (key === undefined || key === keyOf(letter)) &&
    (error === undefined || error === letter.error.code || error === letter.error.class) &&
    (reason ?? letter.reason) === letter.reason &&
    (transport ?? letter.original.place.transport) === letter.original.place.transport &&
    (from === undefined || failedAt >= new Date(from).getTime()) &&
    (to === undefined || failedAt < new Date(to).getTime())
  );
}

function byAge({ letter: a }: BrokerLetter, { letter: b }: BrokerLetter): number {
  return compare(a.lastFailureAt, b.lastFailureAt) || compare(a.id, b.id);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Where a page ends: what comes and goes meanwhile does not move the others. */
export function cursorOf({ lastFailureAt, id }: DeadLetter): string {
  return `${lastFailureAt} ${id}`;
}

/** Those behind the cursor. */
export function behind(letters: readonly BrokerLetter[], cursor: string | undefined): readonly BrokerLetter[] {
  return cursor === undefined ? letters : letters.filter(({ letter }) => cursorOf(letter) > cursor);
}

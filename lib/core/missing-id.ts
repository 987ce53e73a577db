import { uuidv7 } from 'uuidv7';
import { uuidFrom } from './uuid.js';

/**
 * What becomes of an event whose publisher gave it no id.
 * - `dead-letter` (default): nothing tells it from another one, so it is parked until somebody decides.
 * - `hash`: its id is derived from its source, name, key and body. The same content twice is then **one** event: right
 *   for a state ("stock is 5") or where the body has something unique, wrong for "one more page view".
 * - `handle`: every delivery gets an id of its own. Effects still are all or nothing, but a redelivery has them again.
 */
export type OnMissingId = 'dead-letter' | 'hash' | 'handle';

export const ON_MISSING_ID: readonly OnMissingId[] = ['dead-letter', 'hash', 'handle'];

/** What the hash is made of. */
export interface EventContent {
  readonly source: string;
  readonly name: string;
  readonly key: string | undefined;
  readonly body: Uint8Array | null;
}

/** An id for an event without one; `undefined` where it must not have any. */
export function idInstead(onMissingId: OnMissingId, { source, name, key, body }: EventContent): string | undefined {
  switch (onMissingId) {
    case 'hash':
      // n.b. JSON says where it ends: no other event has the same attributes and body run together
      return uuidFrom(JSON.stringify([source, name, key ?? null]), body ?? new Uint8Array());
    case 'handle':
      return uuidv7();
    case 'dead-letter':
      return undefined;
  }
}

import { createHash } from 'node:crypto';
import { deadLetterId, type DeadLetter } from '../core/dead-letter.js';
import { uuidFrom } from '../core/uuid.js';
import { isStorableText } from '../typeorm/postgres-text.js';

/** Longer ones do not fit into an index. Only a forged dead letter has them. */
const MAX_INDEXED = 512;

/** A text about a dead letter, as PostgreSQL can hold it: what it says matters, not each character. */
export function storable(text: string): string {
  return text.toWellFormed().replaceAll('\u0000', '\ufffd');
}

/** Ids that the database could not hold, or that are none, get another one that is always the same. */
export function letterKey(id: string): string {
  return id.length <= MAX_INDEXED && isStorableText(id) ? id : uuidFrom(id.toWellFormed());
}

export function letterKeyOf(letter: DeadLetter): string {
  return letter.id === '' ? deadLetterId(letter) : letterKey(letter.id);
}

/** A text that an index holds. */
export function indexed(text: string): string {
  const stored = storable(text);
  return stored.length <= MAX_INDEXED ? stored : `${stored.slice(0, 64)} ${uuidFrom(stored)}`;
}

export const consumerOf = ({ group, handler }: Pick<DeadLetter, 'group' | 'handler'>): string =>
  indexed(`${group}.${handler}`);

/** What keeps its order: the key of one consumer. A dead letter without a key is in a line of its own. */
export function lineOf(letter: DeadLetter): Buffer {
  const { key } = letter.original;
  const about = key === undefined ? ['letter', letterKeyOf(letter)] : ['key', consumerOf(letter)];
  return createHash('sha256')
    .update(JSON.stringify(about))
    .update(key ?? '')
    .digest();
}

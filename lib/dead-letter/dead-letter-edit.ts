import { toStructured } from '../core/cloudevents.js';
import { deadLetterId, type DeadLetter } from '../core/dead-letter.js';
import type { Delivery, RawEvent } from '../core/delivery.js';
import { createEnvelope, type Envelope } from '../core/envelope.js';
import { assertHeaders, emptyHeaders, type Headers } from '../core/headers.js';
import { messageOf } from '../core/errors.js';
import { invalid } from './dead-letter-inputs.js';

/** What of a dead letter's event is to be different. What is not given stays. */
export interface DeadLetterEdit {
  readonly name?: string;
  readonly data?: unknown;
  /** `null`: none. */
  readonly key?: string | null;
  /** Replaces all of the publisher's headers. */
  readonly headers?: Headers;
}

export interface Editing {
  readonly letter: DeadLetter;
  readonly edit: DeadLetterEdit;
  /** The event as its transport decodes it. */
  readonly content: Delivery['content'];
  /** The `source` of an event whose own could not be decoded. */
  readonly service: string;
}

const EDITS = new Set<string>(['name', 'data', 'key', 'headers'] satisfies (keyof DeadLetterEdit)[]);
const CONTENT_TYPE = 'content-type';

/**
 * A dead letter with an event of its own in place of the original: a new id, and the old one as what caused it. It is
 * kept as a structured CloudEvent, which every transport decodes. Throws EVENTS_DEAD_LETTER_INVALID.
 */
export function edited(editing: Editing): DeadLetter {
  const { letter, edit } = editing;
  checkEdit(edit);
  const envelope = editedEnvelope(editing);
  const original = toRaw(envelope, letter);
  const { group, handler, reason, error, attempts, traceId, firstFailureAt, lastFailureAt } = letter;
  return {
    id: deadLetterId({ group, handler, envelope, original }),
    ...{ group, handler, original, reason, error, attempts, firstFailureAt, lastFailureAt },
    ...(traceId === undefined ? {} : { traceId }),
    event: envelope.name,
    eventId: envelope.id,
  };
}

function checkEdit(edit: DeadLetterEdit): void {
  if (typeof edit !== 'object' || edit === null) throw invalid('the edit is not an object like { data }');
  const names = Object.keys(edit);
  const unknown = names.find((name) => !EDITS.has(name));
  if (unknown !== undefined) throw invalid(`the edit has no field ${JSON.stringify(unknown)}`);
  if (names.length === 0) throw invalid('the edit changes nothing: give data, headers, key or name');
}

function editedEnvelope({ letter, edit, content, service }: Editing): Envelope {
  const before = 'envelope' in content ? content.envelope : undefined;
  const name = edit.name ?? before?.name;
  if (name === undefined || (before === undefined && !('data' in edit))) {
    throw invalid(`the dead letter ${letter.id} cannot be decoded: its edit needs a name and data`);
  }
  const {
    id: _id,
    key: _key,
    headers,
    ...rest
  } = before ?? { id: undefined, key: undefined, headers: {}, source: service };
  const key = edit.key === undefined ? before?.key : edit.key;
  const causationId = before?.id ?? letter.eventId;
  try {
    if (edit.headers !== undefined) assertHeaders(edit.headers, name);
    const made = createEnvelope({
      ...rest,
      name,
      data: 'data' in edit ? edit.data : before?.data,
      ...(typeof key === 'string' ? { key } : {}),
      ...(causationId === undefined ? {} : { causationId }),
    });
    // Those of other programs may have names that publish() refuses.
    return { ...made, headers: Object.assign(emptyHeaders(), edit.headers ?? headers) };
  } catch (error) {
    throw invalid(`the edit makes no event: ${messageOf(error)}`, error);
  }
}

function toRaw(envelope: Envelope, letter: DeadLetter): RawEvent {
  const { body, contentType } = structured(envelope);
  const headers = Object.assign(emptyHeaders(), envelope.headers, { [CONTENT_TYPE]: contentType });
  const { place } = letter.original;
  return { place, body, headers, ...(envelope.key === undefined ? {} : { key: Buffer.from(envelope.key, 'utf8') }) };
}

function structured(envelope: Envelope): ReturnType<typeof toStructured> {
  try {
    return toStructured(envelope);
  } catch (error) {
    throw invalid(`the edit makes no event: ${messageOf(error)}`, error);
  }
}

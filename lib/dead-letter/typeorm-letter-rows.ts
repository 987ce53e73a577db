import type { DeadLetter, DeadLetterReason } from '../core/dead-letter.js';
import type { DeadLetterState, StoredDeadLetter } from './dead-letter-store.js';
import { headersFromJson, headersToJson } from './typeorm-letter-headers.js';
import { consumerOf, letterKeyOf, lineOf, storable, indexed } from './typeorm-letter-identity.js';

/** The columns that a dead letter brings along, with their types as a statement's input. */
const INPUT = {
  id: 'text',
  line: 'bytea',
  consumer: 'text',
  event_group: 'text',
  handler: 'text',
  event: 'text',
  event_id: 'text',
  key: 'bytea',
  transport: 'text',
  address: 'text',
  partition: 'int',
  position_text: 'text',
  headers: 'text',
  body: 'bytea',
  reason: 'text',
  error_class: 'text',
  error_code: 'text',
  error_message: 'text',
  error_stack: 'text',
  attempts: 'int',
  first_failure_at: 'timestamptz',
  last_failure_at: 'timestamptz',
  trace_id: 'text',
} as const;

type Column = keyof typeof INPUT;
export type LetterColumns = Readonly<Record<Column, string | number | null>>;

const NAMES = Object.keys(INPUT) as Column[];
/** What a failure says about a dead letter: replaced by the next one. */
const FAILURE_COLUMNS = NAMES.filter((name) =>
  /^(reason|error_|attempts|first_failure|last_failure|trace_id)/.test(name),
);

export const LETTER_COLUMNS = NAMES.join(', ');
/** The same, out of {@link LETTERS_INPUT}. */
export const LETTER_VALUES = NAMES.map((name) => (name === 'headers' ? 'l.headers::json' : `l.${name}`)).join(', ');
/** Rows of the statement's first parameter, a JSON list of {@link LetterColumns}, as `l`. */
export const LETTERS_INPUT = `json_to_recordset($1::json) AS l(${['ordinal int', ...NAMES.map((name) => `${name} ${INPUT[name]}`)].join(', ')})`;
/** Assignments of the failure from another row. */
export const failureFrom = (row: string): string =>
  FAILURE_COLUMNS.map((name) => `${name} = ${row}.${name}`).join(', ');

export function toColumns(letter: DeadLetter): LetterColumns {
  const { original, error } = letter;
  const { place } = original;
  return {
    id: letterKeyOf(letter),
    line: hex(lineOf(letter)),
    consumer: consumerOf(letter),
    event_group: indexed(letter.group),
    handler: indexed(letter.handler),
    event: optional(letter.event),
    event_id: optional(letter.eventId),
    key: original.key === undefined ? null : hex(original.key),
    transport: storable(place.transport),
    address: storable(place.address),
    partition: place.partition === undefined ? null : wholeNumber(place.partition),
    position_text: optional(place.position),
    headers: headersToJson(original.headers),
    body: original.body === null ? null : hex(original.body),
    reason: storable(letter.reason),
    error_class: storable(error.class),
    error_code: storable(error.code),
    error_message: storable(error.message),
    error_stack: optional(error.stack),
    attempts: wholeNumber(letter.attempts) ?? 0,
    first_failure_at: timestamp(letter.firstFailureAt),
    last_failure_at: timestamp(letter.lastFailureAt),
    trace_id: optional(letter.traceId),
  };
}

/** A parameter for {@link LETTERS_INPUT}. */
export function toInput(rows: readonly LetterColumns[]): string {
  return JSON.stringify(rows.map((row, ordinal) => ({ ordinal, ...row })));
}

/** A row as {@link SELECTED} reads it. */
export interface LetterRow {
  readonly id: string;
  readonly position: string;
  readonly event_group: string;
  readonly handler: string;
  readonly event: string | null;
  readonly event_id: string | null;
  readonly key: Buffer | null;
  readonly transport: string;
  readonly address: string;
  readonly partition: number | null;
  readonly position_text: string | null;
  readonly headers: string;
  readonly body: Buffer | null;
  readonly reason: string;
  readonly error_class: string;
  readonly error_code: string;
  readonly error_message: string;
  readonly error_stack: string | null;
  readonly attempts: number;
  readonly first_failure_at: string;
  readonly last_failure_at: string;
  readonly trace_id: string | null;
  readonly state: string;
  readonly redrive_id: string | null;
  readonly redrives: number;
  readonly replaces: string | null;
  readonly replaced_by: string | null;
  readonly stored_at: string;
}

/** RFC 3339, whatever the application has its driver make of timestamps. */
export const rfc3339 = (column: string): string =>
  `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** What is read of `letter`, for {@link toStored}. */
export const selected = (schema: string): string => `letter.id, letter.position::text AS position, event_group, handler,
  event, event_id, key, transport, address, partition, position_text, headers::text AS headers, body, reason,
  error_class, error_code, error_message, error_stack, attempts, trace_id, state, redrives, replaces, replaced_by,
  ${rfc3339('first_failure_at')} AS first_failure_at, ${rfc3339('last_failure_at')} AS last_failure_at,
  ${rfc3339('stored_at')} AS stored_at,
  (SELECT redrives.id FROM ${schema}.redrives WHERE redrives.number = letter.redrive) AS redrive_id`;

export function toLetter(row: LetterRow): DeadLetter {
  return {
    id: row.id,
    group: row.event_group,
    handler: row.handler,
    ...given('event', row.event),
    ...given('eventId', row.event_id),
    reason: row.reason as DeadLetterReason,
    ...given('traceId', row.trace_id),
    error: {
      class: row.error_class,
      code: row.error_code,
      message: row.error_message,
      ...given('stack', row.error_stack),
    },
    attempts: row.attempts,
    firstFailureAt: row.first_failure_at,
    lastFailureAt: row.last_failure_at,
    original: {
      place: {
        transport: row.transport,
        address: row.address,
        ...given('partition', row.partition),
        ...given('position', row.position_text),
      },
      body: row.body,
      headers: headersFromJson(row.headers),
      ...given('key', row.key),
    },
  };
}

export function toStored(row: LetterRow): StoredDeadLetter {
  return {
    ...toLetter(row),
    state: row.state as DeadLetterState,
    storedAt: row.stored_at,
    redrives: row.redrives,
    ...given('redriveId', row.redrive_id),
    ...given('replaces', row.replaces),
    ...given('replacedBy', row.replaced_by),
  };
}

export function given<K extends string, T>(name: K, value: T | null): Partial<Record<K, T>> {
  return value === null ? {} : ({ [name]: value } as Record<K, T>);
}

const hex = (bytes: Uint8Array): string => `\\x${Buffer.from(bytes).toString('hex')}`;
const optional = (text: string | undefined): string | null => (text === undefined ? null : storable(text));

const wholeNumber = (value: number): number | null =>
  Number.isInteger(value) && Math.abs(value) < 2 ** 31 ? value : null;

/** A time that is none is the beginning of time: always the same, however often the dead letter is read. */
function timestamp(text: string): string {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) || time.getUTCFullYear() < 0 || time.getUTCFullYear() > 9999
    ? new Date(0).toISOString()
    : time.toISOString();
}

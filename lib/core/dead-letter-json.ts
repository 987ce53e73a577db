import { isUtf8 } from 'node:buffer';
import type { DeadLetter } from './dead-letter.js';

/**
 * A dead letter as one JSON object, for programs that read bodies and not headers. Bytes that are no UTF-8 are in base64,
 * and `…_encoding` says so.
 */
export function toDeadLetterJson(letter: DeadLetter): Uint8Array {
  const { original, error } = letter;
  const { address, partition, position } = original.place;
  const [value, valueEncoding] = textOf(original.body);
  const [key, keyEncoding] = textOf(original.key ?? null);
  const described = {
    original_topic: address,
    original_partition: partition ?? null,
    original_offset: offsetOf(partition, position),
    original_key: key,
    ...(keyEncoding === undefined ? {} : { original_key_encoding: keyEncoding }),
    original_value: value,
    ...(valueEncoding === undefined ? {} : { original_value_encoding: valueEncoding }),
    error_reason: error.message,
    error_code: error.code,
    failed_at: letter.lastFailureAt,
    attempts: letter.attempts,
    group: letter.group,
    handler: letter.handler,
    event_type: letter.event ?? null,
    event_id: letter.eventId ?? null,
  };
  return Buffer.from(JSON.stringify(described));
}

/** The original body. Of something that is no such description, the bytes as they are: nothing is lost. */
export function fromDeadLetterJson(body: Uint8Array | null): Uint8Array | null {
  try {
    const { original_value: value, original_value_encoding: encoding } = JSON.parse(
      Buffer.from(body ?? []).toString('utf8'),
    ) as { original_value?: unknown; original_value_encoding?: unknown };
    if (value === null) return null;
    return typeof value === 'string' ? Buffer.from(value, encoding === 'base64' ? 'base64' : 'utf8') : body;
  } catch {
    return body;
  }
}

/** A number while that is exact: offsets have 64 bits. Only what has partitions has offsets. */
function offsetOf(partition: number | undefined, position: string | undefined): number | string | null {
  if (partition === undefined || position === undefined) return null;
  return Number.isSafeInteger(Number(position)) ? Number(position) : position;
}

function textOf(bytes: Uint8Array | null): [text: string | null, encoding?: 'base64'] {
  if (bytes === null) return [null];
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return isUtf8(bytes) ? [buffer.toString('utf8')] : [buffer.toString('base64'), 'base64'];
}

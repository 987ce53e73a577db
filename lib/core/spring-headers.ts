import type { DeadLetter } from './dead-letter.js';
import type { HeaderValue } from './headers.js';

export const SPRING_PREFIX = 'kafka_dlt-';

/**
 * The names that Spring for Apache Kafka gives to the same facts, for tools that know those. Partition, offset and
 * timestamp are big-endian numbers of 4, 8 and 8 bytes there.
 * @see https://docs.spring.io/spring-kafka/reference/kafka/annotation-error-handling.html#dead-letters
 */
export function springHeaders(letter: DeadLetter, numbers: 'bytes' | 'text'): Record<string, HeaderValue> {
  const { error, group, original } = letter;
  const { address, partition, position, timestamp } = original.place;
  const headers: Record<string, HeaderValue> = {};
  const add = (name: string, value: HeaderValue | undefined): void => {
    if (value !== undefined) headers[SPRING_PREFIX + name] = value;
  };
  const int = (value: number): HeaderValue => (numbers === 'text' ? String(value) : bytesOf(4, BigInt(value)));
  const long = (value: string | number): HeaderValue =>
    numbers === 'text' ? String(value) : bytesOf(8, BigInt(value));
  add('original-topic', address);
  add('original-partition', partition === undefined ? undefined : int(partition));
  // Only what has partitions has offsets; elsewhere the position is the broker's name for the event.
  add('original-offset', partition === undefined || !isOffset(position) ? undefined : long(position));
  add('original-timestamp', timestamp === undefined ? undefined : long(timestamp));
  add('original-consumer-group', group);
  add('exception-fqcn', error.class);
  add('exception-message', error.message);
  add('exception-stacktrace', error.stack);
  return headers;
}

const isOffset = (position: string | undefined): position is string => /^\d{1,18}$/.test(position ?? '');

function bytesOf(length: 4 | 8, value: bigint): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(value);
  return bytes.subarray(8 - length);
}

import { randomUUID } from 'node:crypto';
import type { DeadLetter } from '../../core/dead-letter.js';
import { EventsError } from '../../core/errors.js';
import { sleep, type Clock } from '../../core/clock.js';
import type { DeadLetterQuery } from '../../core/transport.js';
import type { ConsumerClient, IncomingRecord, KafkaClient, PartitionOffset } from './kafka.client.js';
import { fromDeadLetterRecord } from './kafka.mapper.js';
import { deadLetterTopic } from './kafka.topics.js';

const DEFAULT_LIMIT = 1_000;
const READ_TIMEOUT_MS = 30_000;
const MAX_WAIT_MS = 100;

/** Reads a group's dead-letter topic from its beginning to its present end, with a group of its own that goes afterwards. */
export async function readDeadLetters(
  { group, handler, limit = DEFAULT_LIMIT }: DeadLetterQuery,
  { client, clock }: { readonly client: KafkaClient; readonly clock: Clock },
): Promise<DeadLetter[]> {
  const topic = deadLetterTopic(group);
  const ends = await client.withAdmin((admin) => endsOf(topic, admin));
  const letters: { readonly record: IncomingRecord; readonly letter: DeadLetter }[] = [];
  if (ends.length > 0) {
    await readUntil({ client, clock, topic, ends }, (record) => {
      const letter = fromDeadLetterRecord(record);
      if (letter?.group === group && letter.handler === handler) letters.push({ record, letter });
    });
  }
  letters.sort((a, b) => Number(a.record.timestamp) - Number(b.record.timestamp));
  return letters.slice(0, limit).map(({ letter }) => letter);
}

type Admin = Parameters<Parameters<KafkaClient['withAdmin']>[0]>[0];

/** The end of each partition that holds something. */
async function endsOf(topic: string, admin: Admin): Promise<PartitionOffset[]> {
  if (!(await admin.listTopics()).includes(topic)) return [];
  const offsets = await admin.offsets(topic);
  return offsets
    .filter(({ low, high }) => BigInt(low) < BigInt(high))
    .map(({ partition, high }) => ({ topic, partition, offset: high }));
}

interface Reading {
  readonly client: KafkaClient;
  readonly clock: Clock;
  readonly topic: string;
  readonly ends: readonly PartitionOffset[];
}

async function readUntil(
  { client, clock, topic, ends }: Reading,
  each: (record: IncomingRecord) => void,
): Promise<void> {
  const group = `${topic}.reader-${randomUUID()}`;
  const open = new Map(ends.map(({ partition, offset }) => [partition, BigInt(offset)]));
  const leave = new AbortController();
  let consumer: ConsumerClient | undefined;
  const read = new Promise<'read'>((resolve, reject) => {
    consumer = client.consumer({
      group,
      topics: [topic],
      maxWaitMs: MAX_WAIT_MS,
      onJoined: () => undefined,
      onRebalancing: () => undefined,
      onBatch: async ({ records, partition, accepted }) => {
        for (const record of records) {
          if (BigInt(record.offset) < (open.get(partition) ?? 0n)) each(record);
          accepted(record.offset);
        }
      },
      onPosition: ({ partition, offset }) => {
        if (BigInt(offset) >= (open.get(partition) ?? 0n)) open.delete(partition);
        if (open.size === 0) resolve('read');
      },
      onCrash: reject,
    });
    consumer.start().catch(reject);
  });
  try {
    const timeout = sleep(clock, READ_TIMEOUT_MS, leave.signal);
    if ((await Promise.race([read, timeout])) !== 'read') throw unread(topic);
  } finally {
    leave.abort();
    await consumer?.stop();
    await client.withAdmin((admin) => admin.deleteGroup(group)).catch(() => undefined);
  }
}

function unread(topic: string): EventsError {
  return new EventsError('EVENTS_TRANSPORT_UNREACHABLE', `"${topic}" could not be read within ${READ_TIMEOUT_MS} ms`, {
    remedy: 'Try again; check that the brokers that lead its partitions are up.',
  });
}

import { randomUUID } from 'node:crypto';
import type { DeadLetter } from '../../core/dead-letter.js';
import type { DeadLetterForm } from '../../core/dead-letter-headers.js';
import { EventsError, isEventsError } from '../../core/errors.js';
import { sleep, type Clock } from '../../core/clock.js';
import type { DeadLetterQuery, TakeDeadLetters } from '../../core/transport.js';
import type { AdminClient, ConsumerClient, IncomingRecord, KafkaClient, PartitionOffset } from './kafka.client.js';
import { fromDeadLetterRecord, settledIn, toDeadLetterRecords, toSettledRecord } from './kafka.mapper.js';
import type { KafkaProducer } from './kafka.producer.js';
import { deadLetterTopic } from './kafka.topics.js';

const DEFAULT_LIMIT = 1_000;
const READ_TIMEOUT_MS = 30_000;
const MAX_WAIT_MS = 100;

export interface ReadTools {
  readonly client: KafkaClient;
  readonly clock: Clock;
}

export interface WriteTools {
  readonly producer: KafkaProducer;
  readonly form: Omit<DeadLetterForm, 'numbers'>;
}

/** Resolves when the broker has confirmed it: whole, or what of it is within the limit of its topic. */
export async function writeDeadLetter(letter: DeadLetter, { producer, form }: WriteTools): Promise<void> {
  const topic = deadLetterTopic(letter.group);
  let tooLarge: unknown;
  for (const record of toDeadLetterRecords(letter, topic, form)) {
    try {
      return await producer.send(record, letter.event ?? topic);
    } catch (error) {
      if (!isEventsError(error, 'EVENTS_PAYLOAD_TOO_LARGE')) throw error;
      tooLarge = error;
    }
  }
  throw tooLarge;
}

/** Those of a handler that nothing has been done about, oldest first. */
export async function readDeadLetters(query: DeadLetterQuery, tools: ReadTools): Promise<DeadLetter[]> {
  const { open } = await foldLog(query.group, tools);
  return open.filter(({ handler }) => handler === query.handler).slice(0, query.limit ?? DEFAULT_LIMIT);
}

/** A log cannot forget: of one that is taken, a record more says so. */
export async function takeDeadLetters(
  { group, handler, visit, signal }: TakeDeadLetters,
  tools: ReadTools & { readonly producer: KafkaProducer },
): Promise<void> {
  const topic = deadLetterTopic(group);
  const { open } = await foldLog(group, tools);
  for (const letter of open) {
    if (signal.aborted) return;
    if (letter.handler !== handler || (await visit(letter)) !== 'remove') continue;
    await tools.producer.send(toSettledRecord(letter, topic), letter.event ?? topic);
  }
}

/** The ids of those that something has been done about. */
export async function settledDeadLetters(group: string, tools: ReadTools): Promise<ReadonlySet<string>> {
  const { settled } = await foldLog(group, tools);
  return settled;
}

/** One that is written again counts once, in its old place; after the record that says it is done with, it counts anew. */
async function foldLog(group: string, tools: ReadTools): Promise<FoldedLog> {
  const written = new Map<string, { readonly first: LogPlace; readonly last: LogPlace; readonly letter: DeadLetter }>();
  const settledAt = new Map<string, LogPlace>();
  await readLog(group, tools, (record, partition) => {
    const at = { partition, offset: BigInt(record.offset), timestamp: Number(record.timestamp) };
    const settled = settledIn(record);
    const letter = settled === undefined ? fromDeadLetterRecord(record) : undefined;
    if (settled !== undefined) settledAt.set(settled, later(settledAt.get(settled), at));
    if (letter?.group !== group) return;
    const before = written.get(letter.id);
    written.set(letter.id, { first: before?.first ?? at, last: later(before?.last, at), letter });
  });
  const settled = new Set<string>();
  for (const [id, { last }] of written) {
    const at = settledAt.get(id);
    if (at !== undefined && !isLater(last, at)) settled.add(id);
  }
  const open = [...written.values()].filter(({ letter }) => !settled.has(letter.id));
  open.sort((a, b) => (isLater(a.first, b.first) ? 1 : isLater(b.first, a.first) ? -1 : 0));
  return { open: open.map(({ letter }) => letter), settled };
}

interface FoldedLog {
  /** Oldest first. */
  readonly open: readonly DeadLetter[];
  readonly settled: ReadonlySet<string>;
}

interface LogPlace {
  readonly partition: number;
  readonly offset: bigint;
  readonly timestamp: number;
}

/** The topic has one partition, unless somebody made it with more: then a record without a key may lie in any of them. */
function isLater(a: LogPlace, b: LogPlace): boolean {
  return a.partition === b.partition ? a.offset > b.offset : a.timestamp > b.timestamp;
}

function later(before: LogPlace | undefined, at: LogPlace): LogPlace {
  return before !== undefined && isLater(before, at) ? before : at;
}

/** Reads a group's dead-letter topic from its beginning to its present end, with a group of its own that goes afterwards. */
async function readLog(group: string, tools: ReadTools, each: EachRecord): Promise<void> {
  const topic = deadLetterTopic(group);
  const ends = await tools.client.withAdmin((admin) => endsOf(topic, admin));
  if (ends.length > 0) await readUntil({ ...tools, topic, ends }, each);
}

/** The end of each partition that holds something. */
async function endsOf(topic: string, admin: AdminClient): Promise<PartitionOffset[]> {
  if (!(await admin.listTopics()).includes(topic)) return [];
  const offsets = await admin.offsets(topic);
  return offsets
    .filter(({ low, high }) => BigInt(low) < BigInt(high))
    .map(({ partition, high }) => ({ topic, partition, offset: high }));
}

type EachRecord = (record: IncomingRecord, partition: number) => void;

interface Reading extends ReadTools {
  readonly topic: string;
  readonly ends: readonly PartitionOffset[];
}

async function readUntil({ client, clock, topic, ends }: Reading, each: EachRecord): Promise<void> {
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
          if (BigInt(record.offset) < (open.get(partition) ?? 0n)) each(record, partition);
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

/** What lies at a broker after a run, read by its own client: the same way for every contestant. */
import { connect } from 'amqplib';
import { Kafka, logLevel } from 'kafkajs';

/**
 * @typedef {import('./types.mjs').Target} Target
 * @typedef {import('./types.mjs').DeadLetterPlace} DeadLetterPlace
 *
 * @typedef {object} LeftBehind by sequence
 * @property {Set<number>} deadLetters
 * @property {number} deadLettersTwice
 * @property {Set<number>} waiting what a consumer of the group would be given again
 */

const RETURNED_AFTER_MS = 2_000;

/**
 * @param {Target} target
 * @param {DeadLetterPlace} place where the contestant puts dead letters
 * @returns {Promise<LeftBehind>}
 */
export async function leftBehind(target, { broker, deadLetters, others = [] }) {
  const read = broker === 'kafka' ? await inKafka(target, deadLetters) : await inRabbitmq(target, deadLetters, others);
  const letters = new Set(read.letters);
  return { deadLetters: letters, deadLettersTwice: read.letters.length - letters.size, waiting: new Set(read.waiting) };
}

/**
 * @param {Target} target
 * @param {string | undefined} deadLetters a topic
 */
async function inKafka({ address, name, event, group }, deadLetters) {
  const kafka = new Kafka({ brokers: address.split(','), clientId: 'bench', logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  await admin.connect();
  const existing = await admin.listTopics();
  const topic = existing.find((each) => each === event.split('.').slice(0, 2).join('.')) ?? name;
  const [committed] = await admin.fetchOffsets({ groupId: group, topics: [topic] });
  const settledBelow = new Map(committed?.partitions.map(({ partition, offset }) => [partition, Number(offset)]));
  const [records, letters] = await Promise.all(
    [topic, deadLetters].map((each) =>
      each !== undefined && existing.includes(each) ? readTopic(kafka, admin, each) : [],
    ),
  );
  await admin.disconnect();
  const waiting = (records ?? []).filter(({ partition, offset }) => offset >= (settledBelow.get(partition) ?? 0));
  return { waiting: waiting.map(({ sequence }) => sequence), letters: (letters ?? []).map(({ sequence }) => sequence) };
}

/**
 * @param {import('kafkajs').Kafka} kafka
 * @param {import('kafkajs').Admin} admin
 * @param {string} topic
 */
async function readTopic(kafka, admin, topic) {
  const ends = (await admin.fetchTopicOffsets(topic)).filter(({ low, high }) => Number(high) > Number(low));
  const open = new Map(ends.map(({ partition, high }) => [partition, Number(high)]));
  /** @type {{ partition: number, offset: number, sequence: number }[]} */
  const records = [];
  if (open.size === 0) return records;
  const consumer = kafka.consumer({ groupId: `${topic}-read` });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await new Promise((resolve, reject) => {
    const eachMessage = async (/** @type {import('kafkajs').EachMessagePayload} */ { partition, message }) => {
      const offset = Number(message.offset);
      records.push({ partition, offset, sequence: sequenceIn(message.value) });
      if (offset + 1 >= (open.get(partition) ?? 0)) open.delete(partition);
      if (open.size === 0) resolve(undefined);
    };
    consumer.run({ eachMessage }).catch(reject);
  });
  await consumer.disconnect();
  return records;
}

/**
 * @param {Target} target
 * @param {string | undefined} deadLetters a queue
 * @param {readonly string[]} others queues in which events wait to come back
 */
async function inRabbitmq({ address, group }, deadLetters, others) {
  // What a closed connection had in hand is back in its queue a moment later.
  await new Promise((resolve) => setTimeout(resolve, RETURNED_AFTER_MS));
  const connection = await connect(address);
  try {
    const waiting = [];
    for (const queue of [`${group}.handler`, ...others]) waiting.push(...(await readQueue(connection, queue)));
    return { waiting, letters: deadLetters === undefined ? [] : await readQueue(connection, deadLetters) };
  } finally {
    await connection.close();
  }
}

/**
 * @param {import('amqplib').ChannelModel} connection
 * @param {string} queue
 */
async function readQueue(connection, queue) {
  const channel = await connection.createChannel();
  const sequences = [];
  for (;;) {
    const message = await channel.get(queue);
    if (message === false) break;
    sequences.push(sequenceIn(message.content));
  }
  await channel.close();
  return sequences;
}

/**
 * n.b. Nest wraps what it sends over RabbitMQ: `{ pattern, data }`.
 * @param {Buffer | null} body
 * @returns {number}
 */
function sequenceIn(body) {
  const value = JSON.parse(String(body));
  return (value.data ?? value).sequence;
}

/**
 * kafkajs as its documentation shows it. Options: `batch` sends what is published together in one request,
 * `idempotent` (default true), `mode` is eachMessage or eachBatch, `partitionsAtOnce`.
 */
import { Kafka, logLevel } from 'kafkajs';

/**
 * @param {import('../harness/types.mjs').OpenRequest} request
 * @returns {Promise<import('../harness/types.mjs').Session>}
 */
export async function open({ target, options, publishes, handle }) {
  const kafka = new Kafka({ brokers: target.address.split(','), clientId: 'bench', logLevel: logLevel.ERROR });
  const producer = kafka.producer({ idempotent: options.idempotent !== false });
  const consumer = kafka.consumer({ groupId: target.group });
  if (publishes) await producer.connect();
  if (handle) await consume(consumer, { target, options, handle });

  const publishMany = (/** @type {import('../harness/types.mjs').OutgoingEvent[]} */ events) =>
    producer.send({
      topic: target.name,
      messages: events.map(({ key, data }) => ({ key, value: JSON.stringify(data) })),
    });
  return {
    publish: (event) => publishMany([event]),
    ...(options.batch ? { publishMany } : {}),
    close: () => Promise.all([producer.disconnect(), consumer.disconnect()]),
  };
}

/**
 * @param {import('kafkajs').Consumer} consumer
 * @param {Pick<import('../harness/types.mjs').OpenRequest, 'target' | 'options'> & { handle: NonNullable<import('../harness/types.mjs').OpenRequest['handle']> }} request
 */
async function consume(consumer, { target, options, handle }) {
  await consumer.connect();
  await consumer.subscribe({ topic: target.name, fromBeginning: true });
  const dataOf = (/** @type {import('kafkajs').KafkaMessage} */ { value }) => JSON.parse(String(value));
  const partitionsConsumedConcurrently = Number(options.partitionsAtOnce ?? 1);
  if (options.mode !== 'eachBatch') {
    await consumer.run({
      partitionsConsumedConcurrently,
      eachMessage: async ({ message }) => handle(dataOf(message)),
    });
    return;
  }
  await consumer.run({
    partitionsConsumedConcurrently,
    eachBatch: async ({ batch, resolveOffset, heartbeat, isRunning, isStale }) => {
      for (const message of batch.messages) {
        if (!isRunning() || isStale()) return;
        await handle(dataOf(message));
        resolveOffset(message.offset);
      }
      await heartbeat();
    },
  });
}

/**
 * amqplib as its tutorials show it: a confirm channel, an ack for each message, prefetch 100. Options: `queueType`
 * (classic, or quorum as ours), `connections` (1 for both directions, or 2).
 */
import { connect } from 'amqplib';

/** @param {import('../harness/types.mjs').Target} target */
const queueOf = ({ group }) => `${group}.handler`;

/**
 * @param {import('../harness/types.mjs').OpenRequest} request
 * @returns {Promise<import('../harness/types.mjs').Session>}
 */
export async function open({ target, options, publishes, handle }) {
  const publishing = await connect(target.address);
  const consuming = options.connections === 2 ? await connect(target.address) : publishing;

  const publisher = await publishing.createConfirmChannel();
  await declare(publisher, target, options);
  if (handle) await consume(await consuming.createChannel(), target, handle);
  return {
    publish: ({ key, data }) =>
      new Promise((resolve, reject) => {
        const body = Buffer.from(JSON.stringify(data));
        publisher.publish(target.name, target.event, body, { persistent: true, headers: { key } }, (error) =>
          error ? reject(error) : resolve(undefined),
        );
      }),
    close: () => Promise.all([...new Set([publishing, consuming])].map((connection) => connection.close())),
  };
}

/**
 * @param {import('amqplib').Channel} channel
 * @param {import('../harness/types.mjs').Target} target
 * @param {Record<string, unknown>} options
 */
async function declare(channel, target, { queueType = 'classic' }) {
  await channel.assertExchange(target.name, 'topic', { durable: true });
  await channel.assertQueue(queueOf(target), { durable: true, arguments: { 'x-queue-type': queueType } });
  await channel.bindQueue(queueOf(target), target.name, target.event);
}

/**
 * @param {import('amqplib').Channel} channel
 * @param {import('../harness/types.mjs').Target} target
 * @param {NonNullable<import('../harness/types.mjs').OpenRequest['handle']>} handle
 */
async function consume(channel, target, handle) {
  await channel.prefetch(100);
  await channel.consume(queueOf(target), async (message) => {
    if (!message) return;
    await handle(JSON.parse(message.content.toString()));
    channel.ack(message);
  });
}

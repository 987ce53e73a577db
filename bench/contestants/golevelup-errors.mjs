/**
 * What becomes of events that fail, with golevelup:
 * - without a choice: requeued at once, its default;
 * - `nack`: its error behaviour NACK, on a queue with a dead-letter exchange: a dead letter after the first failure;
 * - `retry-queue`: an error handler of one's own, the usual one with a queue in which a copy waits for 100 ms, and a dead
 *   letter after four attempts.
 */
import golevelup from '@golevelup/nestjs-rabbitmq';

const { MessageHandlerErrorBehavior } = golevelup;

const DURABLE = { durable: true };
const ATTEMPTS = 4;
const RETRY_AFTER_MS = 100;
const ATTEMPT = 'x-attempt';

/**
 * @param {string} queue
 * @param {unknown} onError
 */
export function errorOptions(queue, onError) {
  const deadLetters = `${queue}.dlq`;
  switch (onError) {
    case 'nack':
      return {
        queueOptions: { ...DURABLE, deadLetterExchange: '', deadLetterRoutingKey: deadLetters },
        queues: [{ name: deadLetters, options: DURABLE }],
        subscribing: { errorBehavior: MessageHandlerErrorBehavior.NACK },
        deadLetters: { deadLetters },
      };
    case 'retry-queue': {
      const waiting = `${queue}.retry`;
      const waits = { ...DURABLE, messageTtl: RETRY_AFTER_MS, deadLetterExchange: '', deadLetterRoutingKey: queue };
      return {
        queueOptions: DURABLE,
        queues: [
          { name: deadLetters, options: DURABLE },
          { name: waiting, options: waits },
        ],
        subscribing: { errorHandler: retryOrGiveUp(waiting, deadLetters) },
        deadLetters: { deadLetters, others: [waiting] },
      };
    }
    default:
      return { queueOptions: DURABLE, queues: [], subscribing: {}, deadLetters: {} };
  }
}

/**
 * @param {string} waiting
 * @param {string} deadLetters
 * @returns {import('@golevelup/nestjs-rabbitmq').MessageErrorHandler}
 */
function retryOrGiveUp(waiting, deadLetters) {
  return (channel, message) => {
    const { headers = {} } = message.properties;
    const attempt = Number(headers[ATTEMPT] ?? 1);
    const queue = attempt < ATTEMPTS ? waiting : deadLetters;
    const options = { ...message.properties, persistent: true, headers: { ...headers, [ATTEMPT]: attempt + 1 } };
    channel.sendToQueue(queue, message.content, options);
    channel.ack(message);
  };
}

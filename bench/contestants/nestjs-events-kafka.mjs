/** nestjs-events over Kafka. Options: `compression` (its default is lz4), and those of the application. */
import { kafka } from 'nestjs-events/kafka';
import { openApp } from './nestjs-events-app.mjs';

/** @param {import('../harness/types.mjs').OpenRequest} request */
export async function open(request) {
  const { compression } = request.options;
  const brokers = (request.target.broker ?? request.target.address).split(',');
  const session = await openApp(
    request,
    kafka({ brokers, ...(compression === undefined ? {} : { compression: /** @type {'none'} */ (compression) }) }),
  );
  return { ...session, deadLetters: { broker: 'kafka', deadLetters: `${request.target.group}.dlq` } };
}

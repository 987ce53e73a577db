/** nestjs-events over RabbitMQ, on its quorum queue. Options: `prefetch`, and those of the application. */
import { rabbitmq } from 'nestjs-events/rabbitmq';
import { openApp } from './nestjs-events-app.mjs';

/**
 * The queue is its handler's: without one there is nothing to publish to.
 * @param {import('../harness/types.mjs').OpenRequest} request
 */
export async function declare(request) {
  const session = await open({ ...request, handle: () => {} });
  await session.close();
}

/** @param {import('../harness/types.mjs').OpenRequest} request */
export async function open(request) {
  const { address, name, group } = request.target;
  const { prefetch } = request.options;
  const more = prefetch === undefined ? {} : { prefetch: Number(prefetch) };
  const session = await openApp(request, rabbitmq({ url: address, exchange: name, ...more }));
  return { ...session, deadLetters: { broker: 'rabbitmq', deadLetters: `${group}.handler.dlq` } };
}

import { rabbitmq } from '../../lib/rabbitmq.js';
import { withBroker } from '../support/brokers.js';
import { manyFailures } from './failures.js';

withBroker('rabbitmq', 'RABBITMQ_URL', (url) => {
  manyFailures({ kind: 'rabbitmq', create: ({ inFlight = 200 }) => rabbitmq({ url, prefetch: inFlight }) });
});

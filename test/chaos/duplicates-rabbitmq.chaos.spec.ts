import { rabbitmq } from '../../lib/rabbitmq.js';
import { withBroker } from '../support/brokers.js';
import { manyDuplicates } from './duplicates.js';

withBroker('rabbitmq', 'RABBITMQ_URL', (url) => {
  manyDuplicates(rabbitmq({ url }), { kind: 'rabbitmq', options: { url } });
});

import { kafka } from '../../lib/kafka.js';
import { rabbitmq } from '../../lib/rabbitmq.js';
import { withBroker } from '../support/brokers.js';
import { processEnd } from './process-end.js';

withBroker('rabbitmq', 'RABBITMQ_URL', (url) => {
  processEnd(rabbitmq({ url }), { kind: 'rabbitmq', options: { url } });
});

withBroker('kafka', 'KAFKA_BROKERS', (brokers) => {
  // The shortest session that brokers allow: so long the next life waits for the partitions of the dead one.
  const options = { brokers: brokers.split(','), sessionTimeoutMs: 6_000, heartbeatIntervalMs: 1_000 };
  processEnd(kafka(options), { kind: 'kafka', options });
});

import { kafka } from '../../lib/kafka.js';
import { withBroker } from '../support/brokers.js';
import { crashMatrix } from './crash-matrix.js';

withBroker('kafka', 'KAFKA_BROKERS', (brokers) => {
  // The shortest session that brokers allow: so long the next life waits for the partitions of the dead one.
  const options = { brokers: brokers.split(','), sessionTimeoutMs: 6_000, heartbeatIntervalMs: 1_000 };
  crashMatrix(kafka(options), { kind: 'kafka', options });
});

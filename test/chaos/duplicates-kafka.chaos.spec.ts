import { kafka } from '../../lib/kafka.js';
import { withBroker } from '../support/brokers.js';
import { manyDuplicates } from './duplicates.js';

withBroker('kafka', 'KAFKA_BROKERS', (brokers) => {
  const options = { brokers: brokers.split(','), partitions: 12, heartbeatIntervalMs: 1_000 };
  manyDuplicates(kafka(options), { kind: 'kafka', options });
});

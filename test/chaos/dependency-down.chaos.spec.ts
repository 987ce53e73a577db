import { memory } from '../../lib/index.js';
import { kafka } from '../../lib/kafka.js';
import { rabbitmq } from '../../lib/rabbitmq.js';
import { withBroker } from '../support/brokers.js';
import { dependencyDown } from './dependency-down.js';

withBroker('postgres', 'DATABASE_URL', () => {
  dependencyDown('memory', () => memory());
  withBroker('kafka', 'KAFKA_BROKERS', (brokers) =>
    dependencyDown('kafka', () => kafka({ brokers: brokers.split(',') })),
  );
  withBroker('rabbitmq', 'RABBITMQ_URL', (url) => dependencyDown('rabbitmq', () => rabbitmq({ url })));
});

import { withBroker } from '../support/brokers.js';
import { KafkaDeadLetters, RabbitmqDeadLetters, type DeadLetterBroker } from './dead-letter-brokers.js';
import { deadLetterStoreAway } from './dead-letter-store.js';
import { deadLettersRefused } from './dead-letter-target.js';

function targetAway(create: () => DeadLetterBroker): void {
  deadLettersRefused(create);
  withBroker('postgres', 'DATABASE_URL', (server) => deadLetterStoreAway(server, create));
}

withBroker('kafka', 'KAFKA_BROKERS', (brokers) => targetAway(() => new KafkaDeadLetters(brokers)));
withBroker('rabbitmq', 'RABBITMQ_MANAGEMENT_URL', (url) => targetAway(() => new RabbitmqDeadLetters(url)));

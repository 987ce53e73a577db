import { Kafka, logLevel } from 'kafkajs';
import { kafka, type KafkaOptions } from '../../lib/kafka.js';
import { isControllable, kill, startAgain } from '../../scripts/servers/control.mjs';
import { withBroker } from '../support/brokers.js';
import { kafkaSender } from '../support/raw-senders.js';
import { transportConformance } from './transport-conformance.js';

withBroker('kafka', 'KAFKA_BROKERS', (address) => {
  const brokers = address.split(',');
  // Quicker than in production: what is waited for here is a rebalance, a new topic, the end of a session.
  const options: KafkaOptions = {
    brokers,
    heartbeatIntervalMs: 500,
    sessionTimeoutMs: 6_000,
    discoveryIntervalMs: 500,
  };

  transportConformance('kafka', {
    capabilities: { durable: true, orderAcrossInstances: true },
    create: () => kafka(options),
    sendRaw: kafkaSender(brokers),
    publishRaw: async (name, { headers, body }) => {
      const producer = new Kafka({ brokers, logLevel: logLevel.NOTHING }).producer();
      await producer.connect();
      const topic = name.split('.', 2).join('.');
      await producer.send({ topic, messages: [{ headers, value: body }] });
      await producer.disconnect();
    },
    inAnotherProcess: { module: 'dist/lib/kafka.js', factory: 'kafka', options },
    ...(isControllable('kafka') && {
      restartBroker: async () => {
        await kill('kafka', 'SIGKILL');
        await startAgain('kafka');
      },
    }),
  });
});

import { connect } from 'amqplib';
import { rabbitmq } from '../../lib/rabbitmq.js';
import { isControllable, kill, startAgain } from '../../scripts/servers/control.mjs';
import { withBroker } from '../support/brokers.js';
import { rabbitmqSender } from '../support/raw-senders.js';
import { uniqueWord } from '../support/unique.js';
import { transportConformance } from './transport-conformance.js';

withBroker('rabbitmq', 'RABBITMQ_URL', (url) => {
  const exchange = uniqueWord('conformance');
  const options = { url, exchange };

  transportConformance('rabbitmq', {
    capabilities: { durable: true, orderAcrossInstances: false },
    create: () => rabbitmq(options),
    sendRaw: rabbitmqSender(url, exchange),
    publishRaw: async (name, { headers, body }) => {
      const connection = await connect(url);
      const channel = await connection.createConfirmChannel();
      channel.publish(exchange, name, body, { headers, persistent: true });
      await channel.waitForConfirms();
      await connection.close();
    },
    inAnotherProcess: { module: 'dist/lib/rabbitmq.js', factory: 'rabbitmq', options },
    ...(isControllable('rabbitmq') && {
      restartBroker: async () => {
        await kill('rabbitmq', 'SIGKILL');
        await startAgain('rabbitmq');
      },
    }),
  });
});

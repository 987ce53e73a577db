import { rabbitmq } from '../../lib/rabbitmq.js';
import { withBroker } from '../support/brokers.js';
import { crashMatrix } from './crash-matrix.js';

withBroker('rabbitmq', 'RABBITMQ_URL', (url) => crashMatrix(rabbitmq({ url }), { kind: 'rabbitmq', options: { url } }));

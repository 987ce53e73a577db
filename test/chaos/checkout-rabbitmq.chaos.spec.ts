import { withBroker } from '../support/brokers.js';
import { checkoutChaos } from './checkout-chaos.js';

withBroker('rabbitmq', 'RABBITMQ_URL', (url) => checkoutChaos('rabbitmq', { RABBITMQ_URL: url }));

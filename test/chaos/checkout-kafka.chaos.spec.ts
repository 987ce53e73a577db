import { withBroker } from '../support/brokers.js';
import { checkoutChaos } from './checkout-chaos.js';

withBroker('kafka', 'KAFKA_BROKERS', (brokers) => checkoutChaos('kafka', { KAFKA_BROKERS: brokers }));

import { kafka } from '../../lib/kafka.js';
import { withBroker } from '../support/brokers.js';
import { manyFailures } from './failures.js';

withBroker('kafka', 'KAFKA_BROKERS', (brokers) => {
  // n.b. the window is a partition's: a full one holds up all only where there is one.
  const create = ({ inFlight }: { readonly inFlight?: number }) =>
    kafka({ brokers: brokers.split(','), ...(inFlight === undefined ? {} : { partitions: 1 }) });
  manyFailures({ kind: 'kafka', create });
});

import { memory, MemoryBroker } from '../../lib/index.js';
import { transportConformance } from './transport-conformance.js';

const broker = new MemoryBroker();

transportConformance('memory', {
  capabilities: { durable: false, orderAcrossInstances: true },
  create: () => memory({ broker }),
  publishRaw: async (name, { headers, body }) => {
    broker.publish({ name, key: undefined, headers, contentType: headers['content-type'], body });
  },
});

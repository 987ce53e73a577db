import { memory, MemoryBroker } from '../../lib/index.js';
import { chaos } from '../../lib/testing.js';
import { memorySender } from '../support/raw-senders.js';
import { transportConformance } from './transport-conformance.js';

const broker = new MemoryBroker();

transportConformance('memory', {
  capabilities: { durable: false, orderAcrossInstances: true },
  create: () => memory({ broker }),
  sendRaw: memorySender(broker),
  publishRaw: async (name, { headers, body }) => {
    broker.publish({ name, key: undefined, headers, body });
  },
});

const chaotic = new MemoryBroker();
const noFailures = { duplicate: 0, failBeforeAck: 0, failAfterAck: 0.1, failBeforeSend: 0, failAfterConfirm: 0 };

// Late and out of order, but neither repeated nor refused: each case counts exactly what it published.
transportConformance('memory under chaos', {
  capabilities: { durable: false, orderAcrossInstances: true },
  create: () => chaos(memory({ broker: chaotic }), { ...noFailures, delay: 0.3, reorder: 0.5, maxDelayMs: 3 }),
  sendRaw: memorySender(chaotic),
  publishRaw: async (name, { headers, body }) => {
    chaotic.publish({ name, key: undefined, headers, body });
  },
});

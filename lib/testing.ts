/** `nestjs-events/testing`: what shows that a store of your own keeps its promises, and that your handlers bear what brokers do. */
export { chaos } from './testing/chaos.js';
export type { ChaosCounts, ChaosTransportDefinition } from './testing/chaos.js';
export type { InjectedFault } from './testing/chaos.dice.js';
export type { ChaosFault, ChaosOptions, ChaosShares } from './testing/chaos.options.js';
export { ChaosError, withChaos } from './testing/chaos.run.js';
export type { ChaosRun } from './testing/chaos.run.js';
export type { ContractCase } from './testing/contract.js';
export { deadLetterStoreContract } from './testing/dead-letter-store.contract.js';
export type { DeadLetterStoreHarness } from './testing/dead-letter-store.harness.js';
export { idempotencyStoreContract } from './testing/idempotency-store.contract.js';
export type { IdempotencyStoreHarness } from './testing/idempotency-store.harness.js';
export { outboxStoreContract } from './testing/outbox-store.contract.js';
export type { OutboxStoreHarness } from './testing/outbox-store.harness.js';

/** `nestjs-events/testing`: what shows that a store of your own keeps its promises. */
export type { ContractCase } from './testing/contract.js';
export { idempotencyStoreContract } from './testing/idempotency-store.contract.js';
export type { IdempotencyStoreHarness } from './testing/idempotency-store.harness.js';
export { outboxStoreContract } from './testing/outbox-store.contract.js';
export type { OutboxStoreHarness } from './testing/outbox-store.harness.js';

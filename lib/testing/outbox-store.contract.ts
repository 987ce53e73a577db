import { toCases, type ContractCase } from './contract.js';
import type { OutboxStoreHarness } from './outbox-store.harness.js';
import { ENROL_RULES } from './outbox-store.enrolling.js';
import { OUTBOX_RACE_RULES } from './outbox-store.races.js';
import { RELAY_RULES } from './outbox-store.relaying.js';

/**
 * What every `OutboxStore` must do, as cases for any test runner, the races that a naive store loses included:
 *
 * ```ts
 * for (const { name, run } of outboxStoreContract(createHarness)) test(name, run);
 * ```
 */
export function outboxStoreContract(create: () => OutboxStoreHarness | Promise<OutboxStoreHarness>): ContractCase[] {
  return toCases([...ENROL_RULES, ...RELAY_RULES, ...OUTBOX_RACE_RULES], create);
}

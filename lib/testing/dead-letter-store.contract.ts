import { toCases, type ContractCase } from './contract.js';
import type { DeadLetterStoreHarness } from './dead-letter-store.harness.js';
import { CLAIM_RULES } from './dead-letter-store.claiming.js';
import { KEEPING_RULES } from './dead-letter-store.keeping.js';
import { OPERATOR_RULES } from './dead-letter-store.operating.js';
import { PARKING_RULES } from './dead-letter-store.parking.js';
import { DEAD_LETTER_RACE_RULES } from './dead-letter-store.races.js';

/**
 * What every `DeadLetterStore` must do, as cases for any test runner, the races that a naive store loses included:
 *
 * ```ts
 * for (const { name, run } of deadLetterStoreContract(createHarness)) test(name, run);
 * ```
 */
export function deadLetterStoreContract(
  create: () => DeadLetterStoreHarness | Promise<DeadLetterStoreHarness>,
): ContractCase[] {
  const rules = [...KEEPING_RULES, ...OPERATOR_RULES, ...CLAIM_RULES, ...PARKING_RULES, ...DEAD_LETTER_RACE_RULES];
  return toCases(rules, create);
}

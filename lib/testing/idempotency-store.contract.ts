import { toCases, type ContractCase } from './contract.js';
import type { IdempotencyStoreHarness } from './idempotency-store.harness.js';
import { BATCH_RULES } from './idempotency-store.batches.js';
import { RACE_RULES } from './idempotency-store.races.js';
import { EFFECT_RULES, ONCE_RULES } from './idempotency-store.rules.js';

/**
 * What every `IdempotencyStore` must do, as cases for any test runner, the races that a naive store loses included:
 *
 * ```ts
 * for (const { name, run } of idempotencyStoreContract(createHarness)) test(name, run);
 * ```
 */
export function idempotencyStoreContract(
  create: () => IdempotencyStoreHarness | Promise<IdempotencyStoreHarness>,
): ContractCase[] {
  return toCases([...ONCE_RULES, ...EFFECT_RULES, ...BATCH_RULES, ...RACE_RULES], create);
}

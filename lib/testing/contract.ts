/** One rule of a contract, for any test runner: `for (const { name, run } of cases) test(name, run)`. */
export interface ContractCase {
  readonly name: string;
  /** Rejects with an AssertionError when the rule is broken. */
  readonly run: () => Promise<void>;
}

/** A rule and how to check it on what is tested. */
export type Rule<Harness> = readonly [name: string, check: (harness: Harness) => Promise<void>];

/** Each case makes its own harness, when it runs, and closes it whatever comes. */
export function toCases<Harness extends { close?(): unknown }>(
  rules: readonly Rule<Harness>[],
  create: () => Harness | Promise<Harness>,
): ContractCase[] {
  return rules.map(([name, check]) => ({
    name,
    run: async () => {
      const harness = await create();
      try {
        await check(harness);
      } finally {
        await harness.close?.();
      }
    },
  }));
}

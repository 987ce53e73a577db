import { describe, test } from '@jest/globals';

/**
 * Declares tests that need a broker. Named in SKIP_BROKERS they are skipped, and say so; with CI=true nothing may be
 * skipped, and without an address nothing is guessed.
 */
export function withBroker(broker: string, variable: string, declare: (address: string) => void): void {
  const skipped = (process.env['SKIP_BROKERS'] ?? '').split(',').map((name) => name.trim());
  if (skipped.includes(broker)) return skipLoudly(`${broker} is named in SKIP_BROKERS: NOT tested`);
  const address = process.env[variable];
  if (address === undefined || address === '') {
    throw new Error(`${variable} is not set. Run the tests with "npm test", which finds or starts ${broker}.`);
  }
  declare(address);
}

/** A skipped test gives its reason in its title, and is an error when CI=true. */
export function skipLoudly(reason: string): void {
  if (process.env['CI'] === 'true') throw new Error(`${reason}. With CI=true nothing may be skipped.`);
  describe.skip(reason, () => {
    test('skipped', () => undefined);
  });
}

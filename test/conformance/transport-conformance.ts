import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { TransportWorld } from '../support/transport-world.js';
import { badInputs } from './cases/bad-inputs.js';
import { batches } from './cases/batches.js';
import { closing } from './cases/closing.js';
import { deadLetters } from './cases/dead-letters.js';
import { movingDeadLetters } from './cases/dead-letters.moving.js';
import { groups } from './cases/groups.js';
import { killed } from './cases/killed.js';
import { order } from './cases/order.js';
import { patterns } from './cases/patterns.js';
import { payloads } from './cases/payloads.js';
import { publishing } from './cases/publishing.js';
import { restart } from './cases/restart.js';
import { retries } from './cases/retries.js';
import type { ConformanceSuite, TransportHarness } from './conformance-suite.js';

/** What every transport has to pass. The broker's own matters are tested in test/transports. */
export function transportConformance(name: string, harness: TransportHarness): void {
  describe(`${name} conforms:`, () => {
    let world: TransportWorld;
    const suite: ConformanceSuite = {
      harness,
      open: (overrides) => world.open(harness.create(), overrides),
    };
    beforeEach(() => {
      world = new TransportWorld();
    });
    afterEach(() => world.close());

    test('it declares what it promises', async () => {
      const { transport } = await suite.open();
      expect(transport.capabilities).toEqual(harness.capabilities);
      expect(transport.isConnected()).toBe(true);
    });
    for (const cases of [
      publishing,
      groups,
      patterns,
      order,
      retries,
      batches,
      deadLetters,
      movingDeadLetters,
      payloads,
      badInputs,
      closing,
    ])
      cases(suite);
    if (harness.capabilities.durable) {
      killed(suite);
      restart(suite);
    }
  });
}

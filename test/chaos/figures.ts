/** How much the tests of this folder do: in `npm test` the short form, with `CHAOS=long` (`npm run test:chaos`) the long one. */
const LONG = process.env['CHAOS'] === 'long';

export const FIGURES = LONG
  ? { checkouts: 2_000, crashesPerStep: 20, racingEvents: 10_000, outboxEvents: 20_000, relayKills: 40 }
  : { checkouts: 300, crashesPerStep: 2, racingEvents: 1_000, outboxEvents: 2_000, relayKills: 8 };

/** What is random comes from this number, which a test that failed has printed: `CHAOS_SEED=… npm run test:chaos`. */
export const SEED = Number(process.env['CHAOS_SEED'] ?? Date.now() % 1_000_000);

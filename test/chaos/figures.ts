/** How much the tests of this folder do: in `npm test` the short form, with `CHAOS=long` (`npm run test:chaos`) the long one. */
const LONG = process.env['CHAOS'] === 'long';

export const FIGURES = LONG
  ? {
      checkouts: 2_000,
      crashesPerStep: 20,
      racingEvents: 10_000,
      outboxEvents: 20_000,
      relayKills: 40,
      redrivenEvents: 5_000,
      outageMs: 30_000,
      targetAwayMs: 20_000,
      failingEvents: 10_000,
      processEnds: ['exit', 'memory', 'loop'] as const,
    }
  : {
      checkouts: 300,
      crashesPerStep: 2,
      racingEvents: 1_000,
      outboxEvents: 2_000,
      relayKills: 8,
      redrivenEvents: 500,
      outageMs: 3_000,
      targetAwayMs: 3_000,
      failingEvents: 2_000,
      processEnds: ['exit'] as const,
    };

/** What is random comes from this number, which a test that failed has printed: `CHAOS_SEED=… npm run test:chaos`. */
export const SEED = Number(process.env['CHAOS_SEED'] ?? Date.now() % 1_000_000);

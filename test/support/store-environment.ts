import { systemClock } from '../../lib/core/clock.js';
import type { StoreEnvironment } from '../../lib/core/store.js';
import { RecordingLogger } from './recording-logger.js';

/** What a store is given to work with, outside an application. */
export function storeEnvironment(overrides: Partial<StoreEnvironment> = {}): StoreEnvironment {
  return {
    clock: systemClock,
    logger: new RecordingLogger(),
    report: () => undefined,
    production: false,
    resolve: () => undefined,
    ...overrides,
  };
}

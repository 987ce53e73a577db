import { messageOf } from '../core/errors.js';
import type { TransportDefinition } from '../core/transport.js';
import { chaos, countFaults, type ChaosCounts, type ChaosTransportDefinition } from './chaos.js';
import type { InjectedFault } from './chaos.dice.js';
import { chaosSeed, type ChaosOptions } from './chaos.options.js';

/** What a test under chaos works with. */
export class ChaosRun {
  readonly #transports: ChaosTransportDefinition[] = [];

  constructor(readonly seed: number) {}

  /** `chaos()` with the seed of this run. */
  transport(transport: TransportDefinition, options: Omit<ChaosOptions, 'seed'> = {}): ChaosTransportDefinition {
    const definition = chaos(transport, { ...options, seed: this.seed });
    this.#transports.push(definition);
    return definition;
  }

  /** The faults of all its transports so far. */
  get injected(): readonly InjectedFault[] {
    return this.#transports.flatMap(({ injected }) => injected);
  }

  /** How often each has happened, so that a test can tell that there was chaos. */
  get counts(): ChaosCounts {
    return countFaults(this.injected);
  }
}

/** A test body failed under chaos. Its message begins with that of the `cause` and ends with how to repeat it. */
export class ChaosError extends Error {
  override readonly name = 'ChaosError';

  constructor(
    readonly seed: number,
    readonly injected: readonly InjectedFault[],
    cause: unknown,
  ) {
    super(`${messageOf(cause)}\n\nCHAOS_SEED=${seed} repeats it. Faults until then: ${summary(injected)}`, { cause });
  }
}

/**
 * Runs the body of a test. When it rejects, the error tells the seed:
 * `test('…', () => withChaos(async (run) => { … transports: [run.transport(memory())] … }))`.
 * Throws {@link ChaosError}; EVENTS_OPTIONS_INVALID for what is no seed.
 */
export async function withChaos<T>(
  body: (run: ChaosRun) => Promise<T>,
  options: Pick<ChaosOptions, 'seed'> = {},
): Promise<T> {
  const run = new ChaosRun(chaosSeed(options.seed));
  try {
    return await body(run);
  } catch (error) {
    throw new ChaosError(run.seed, [...run.injected], error);
  }
}

function summary(injected: readonly InjectedFault[]): string {
  const happened = Object.entries(countFaults(injected)).filter(([, count]) => count > 0);
  return happened.map(([fault, count]) => `${count} × ${fault}`).join(', ') || 'none';
}

import type { TransportDefinition } from '../core/transport.js';
import { ChaosDice, type InjectedFault } from './chaos.dice.js';
import { CHAOS_FAULTS, resolveChaosOptions, type ChaosFault, type ChaosOptions } from './chaos.options.js';
import { ChaosTransport } from './chaos.transport.js';

/** How often each fault has happened. */
export type ChaosCounts = Readonly<Record<ChaosFault, number>>;

/** A transport with faults, and what has come of them. */
export interface ChaosTransportDefinition extends TransportDefinition {
  readonly seed: number;
  /** The faults so far, in the order they happened. */
  readonly injected: readonly InjectedFault[];
  readonly counts: ChaosCounts;
}

/**
 * A transport that does to your handlers what brokers do on a bad day: `transports: [chaos(memory(), { seed: 7 })]`.
 * What the wrapped transport promises still holds: nothing is lost, and a key's handler sees its events in order, though
 * it may see some again. Whether a fault happens depends on the seed, the handler and the event (its id; where that is a
 * UUID its name, key and body), never on the timing: with test data that is the same, a seed repeats its faults.
 * Throws EVENTS_OPTIONS_INVALID.
 */
export function chaos(transport: TransportDefinition, options: ChaosOptions = {}): ChaosTransportDefinition {
  const resolved = resolveChaosOptions(options);
  const { seed } = resolved;
  const dice = new ChaosDice(resolved);
  const injected: InjectedFault[] = [];
  return {
    kind: transport.kind,
    name: transport.name,
    seed,
    injected,
    get counts() {
      return countFaults(injected);
    },
    create(environment) {
      environment.logger.log(`${transport.name}: chaos with seed ${seed}; CHAOS_SEED=${seed} repeats it`);
      const tools = { dice, seed, injected: (fault: InjectedFault) => void injected.push(fault) };
      return new ChaosTransport(transport.create(environment), environment, tools);
    },
  };
}

export function countFaults(injected: readonly InjectedFault[]): ChaosCounts {
  const counts = Object.fromEntries(CHAOS_FAULTS.map((fault) => [fault, 0])) as Record<ChaosFault, number>;
  for (const { fault } of injected) counts[fault]++;
  return counts;
}

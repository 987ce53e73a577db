import type { DeadLetter } from '../core/dead-letter.js';
import type { DeadLetterQuery } from '../core/transport.js';
import type { TransportRegistry } from '../core/transport-registry.js';

export interface DeadLettersQuery extends DeadLetterQuery {
  /** Default: all transports. */
  readonly transport?: string;
}

/** Reads the dead letters of a handler back from where its transports put them. */
export class DeadLetters {
  constructor(private readonly transports: TransportRegistry) {}

  /** Oldest first per transport. Nothing is removed. */
  async list(query: DeadLettersQuery): Promise<DeadLetter[]> {
    const transports = query.transport === undefined ? this.transports.all : [this.transports.get(query.transport)];
    const letters = await Promise.all(transports.map((transport) => transport.readDeadLetters(query)));
    return letters.flat();
  }
}

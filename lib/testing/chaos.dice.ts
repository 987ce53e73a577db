import { createHash } from 'node:crypto';
import type { ChaosFault, ResolvedChaosOptions } from './chaos.options.js';

/** What tells an event from others. */
export interface EventIdentity {
  readonly id: string | undefined;
  readonly name: string;
  readonly key: string | undefined;
  readonly body: Uint8Array | null;
}

/** A fault that has happened. */
export interface InjectedFault {
  readonly fault: ChaosFault;
  /** `<group>.<handler id>`; absent for a publish. */
  readonly consumer?: string;
  /** The event's name, id and key. An event that cannot be decoded has no id. */
  readonly event: string;
  readonly id?: string;
  readonly key?: string;
}

/** Where and for which event, and the how-manieth time, a decision is made. */
export interface Situation {
  readonly scope: string;
  readonly identity: string;
  readonly occurrence: number;
}

/** publish() makes ids anew in every run; those that handlers derive from them change with them. */
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * Decides by hashing the seed with what a decision is about, so that it is the same whatever the timing. An event is told
 * by its id, or, where that is a UUID, by its name, key and body, and its number among those that have the same.
 */
export class ChaosDice {
  /** By scope and content: the ids seen, in their order. */
  readonly #alike = new Map<string, Map<string, number>>();
  readonly #occurrences = new Map<string, number>();

  constructor(private readonly options: ResolvedChaosOptions) {}

  /** A new occurrence of the event in a scope: a consumer, or publishing. */
  situation(scope: string, event: EventIdentity): Situation {
    const identity = this.#identityOf(scope, event);
    const counted = JSON.stringify([scope, identity]);
    const occurrence = this.#occurrences.get(counted) ?? 0;
    this.#occurrences.set(counted, occurrence + 1);
    return { scope, identity, occurrence };
  }

  /** Whether the fault happens. `repeat` counts what is decided anew within one occurrence. */
  hits(fault: ChaosFault, situation: Situation, repeat = 0): boolean {
    return this.#roll(fault, situation, repeat) < this.options.shares[fault];
  }

  /** How late an event is, in milliseconds. */
  delayMs(fault: ChaosFault, situation: Situation): number {
    return Math.ceil(this.#roll(`${fault} for`, situation, 0) * this.options.maxDelayMs);
  }

  /** From 0 up to, and without, 1. */
  #roll(what: string, { scope, identity, occurrence }: Situation, repeat: number): number {
    const about = JSON.stringify([this.options.seed, what, scope, identity, occurrence, repeat]);
    return createHash('sha256').update(about).digest().readUIntBE(0, 6) / 2 ** 48;
  }

  #identityOf(scope: string, { id, name, key, body }: EventIdentity): string {
    if (id !== undefined && !UUID.test(id)) return JSON.stringify([name, id]);
    const hash = createHash('sha256')
      .update(body ?? '')
      .digest('hex');
    const content = JSON.stringify([name, key ?? null, hash]);
    // Without an id nothing tells a redelivery from another event: they are counted together.
    if (id === undefined) return content;
    const counted = JSON.stringify([scope, content]);
    const ids = this.#alike.get(counted) ?? new Map<string, number>();
    this.#alike.set(counted, ids);
    const number = ids.get(id) ?? ids.size;
    ids.set(id, number);
    return JSON.stringify([content, number]);
  }
}

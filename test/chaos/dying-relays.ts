import { setTimeout as sleep } from 'node:timers/promises';
import { NodeChild, type ChildReport } from '../support/node-child.js';
import type { Random } from '../support/random.js';
import type { Step } from './crash-line.js';

const SCRIPT = 'test/chaos/children/relay.child.mjs';

export interface DyingRelaysOptions {
  readonly relays: number;
  /** So many die at least; then they live on. */
  readonly deaths: number;
  /** A relay that dies by itself does so at one of its first so many events. */
  readonly lastEvent: number;
  readonly random: Random;
  /** What every relay is told. */
  readonly task: object;
}

/** How a relay dies: by itself, in the middle of its work, or from outside, at any time. */
type Death = { readonly step: Step; readonly at: number } | { readonly afterMs: number };

/** Relays in processes of their own; one that dies is started again. */
export class DyingRelays {
  readonly #ending = new AbortController();
  readonly #running = new Set<NodeChild<ChildReport>>();
  readonly #planned: Death[];
  readonly #lives: Promise<void>[];
  #deaths = 0;
  #failure: Error | undefined;

  constructor(private readonly options: DyingRelaysOptions) {
    // The last of them to die may not be the only one whose death is planned, or the others could leave it nothing to do.
    this.#planned = Array.from({ length: options.deaths + options.relays }, () => chooseDeath(options));
    this.#lives = Array.from({ length: options.relays }, () =>
      this.#liveAgainAndAgain().catch((error: Error) => void (this.#failure ??= error)),
    );
  }

  get deaths(): number {
    return this.#deaths;
  }

  /** Throws when a relay ended in a way it should not. */
  assertWell(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  async end(): Promise<void> {
    this.#ending.abort();
    await Promise.all(Array.from(this.#running, (relay) => relay.kill()));
    await Promise.all(this.#lives);
  }

  async #liveAgainAndAgain(): Promise<void> {
    while (!this.#ending.signal.aborted) {
      const death = this.#planned.shift();
      const relay = this.#start(death);
      if (death !== undefined && 'afterMs' in death) await this.#killLater(relay, death.afterMs);
      await relay.killed();
      this.#running.delete(relay);
      if (!this.#ending.signal.aborted) this.#deaths++;
    }
  }

  #start(death: Death | undefined): NodeChild<ChildReport> {
    const crash = death !== undefined && 'step' in death ? death : undefined;
    const relay = new NodeChild(SCRIPT, { ...this.options.task, crash });
    this.#running.add(relay);
    return relay;
  }

  async #killLater(relay: NodeChild<ChildReport>, afterMs: number): Promise<void> {
    const { signal } = this.#ending;
    await relay.reaches((reports) => signal.aborted || reports.length > 0, 'a relay that is ready');
    await sleep(afterMs, undefined, { signal }).catch(() => undefined);
    await relay.kill();
  }
}

function chooseDeath({ random, lastEvent }: DyingRelaysOptions): Death {
  const at = random.between(1, lastEvent);
  switch (random.between(1, 3)) {
    case 1:
      return { step: 'in the relay, before the send', at };
    case 2:
      return { step: 'in the relay, after the send, before the delete', at };
    default:
      return { afterMs: random.between(0, 1_000) };
  }
}

import { sleep, within } from '../core/clock.js';
import { messageOf } from '../core/errors.js';
import { printable } from '../core/logger.js';
import type { RelaySettings } from './outbox-store.js';
import { RelayLine, type RelayLineTools } from './relay-line.js';

export interface OutboxRelayTools extends RelayLineTools {
  /** The names of the transports this application has. */
  readonly transports: readonly string[];
}

const DEFAULTS = { pollMs: 500, batchSize: 1_000, parkAfter: 10 } as const;
/** How often the relay looks after what needs no hurry, and how often of these it cleans. */
const LOOK_AROUND_MS = 60_000;
const LOOKS_PER_CLEANING = 60;

/** Publishes what is in the outbox: at once after a commit in this process, and by polling what others committed. */
export class OutboxRelay {
  readonly #lines: ReadonlyMap<string, RelayLine>;
  readonly #stopping = new AbortController();
  readonly #strangers = new Set<string>();
  #unwatch: () => Promise<void> = () => Promise.resolve();
  #lookingAround: Promise<void> | undefined;

  constructor(
    private readonly tools: OutboxRelayTools,
    settings: RelaySettings = {},
  ) {
    const { pollMs = DEFAULTS.pollMs, batchSize = DEFAULTS.batchSize, parkAfter = DEFAULTS.parkAfter } = settings;
    this.#lines = new Map(
      tools.transports.map((transport) => [
        transport,
        new RelayLine(tools, { transport, pollMs, batchSize, parkAfter }),
      ]),
    );
  }

  start(): void {
    if (this.#lookingAround !== undefined || this.#stopping.signal.aborted) return;
    this.#unwatch = this.tools.store.watch((transports) => this.#hint(transports));
    for (const line of this.#lines.values()) line.start();
    this.#lookingAround = this.#lookAround();
  }

  /** Begins nothing new; resolves when what is under way is confirmed and forgotten, or the deadline has come. What is not confirmed by then stays in the outbox. */
  async stop(deadlineMs: number): Promise<void> {
    this.#stopping.abort();
    await Promise.all([
      ...Array.from(this.#lines.values(), (line) => line.stop(deadlineMs)),
      within(this.tools.clock, deadlineMs, Promise.all([this.#unwatch(), this.#lookingAround])),
    ]);
  }

  #hint(transports: readonly string[] | undefined): void {
    for (const transport of transports ?? this.#lines.keys()) this.#lines.get(transport)?.hint();
  }

  async #lookAround(): Promise<void> {
    for (let looks = 0; !this.#stopping.signal.aborted; looks++) {
      try {
        await this.#warnAboutStrangers();
        if (looks % LOOKS_PER_CLEANING === 0) await this.tools.store.clean?.(this.#stopping.signal);
      } catch (error) {
        this.tools.logger.warn(`the outbox could not be looked after: ${printable(messageOf(error))}`);
      }
      await sleep(this.tools.clock, LOOK_AROUND_MS, this.#stopping.signal);
    }
  }

  async #warnAboutStrangers(): Promise<void> {
    for (const name of await this.tools.store.transports()) {
      if (this.#lines.has(name) || this.#strangers.has(name)) continue;
      this.#strangers.add(name);
      this.tools.logger.warn(
        `the outbox has events for the transport "${printable(name)}", which this application does not have: they wait ` +
          'for a relay that has it.',
      );
    }
  }
}

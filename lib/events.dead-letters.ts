import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { within } from './core/clock.js';
import type { StoreEnvironment } from './core/store.js';
import type { TransportRegistry } from './core/transport-registry.js';
import { DeadLetterCollector } from './consuming/dead-letter-collector.js';
import { HandlersHere } from './consuming/handlers-here.js';
import { assertCanPark } from './consuming/parking.js';
import { RedriveLanes, type RedriveTools } from './consuming/redrive-lanes.js';
import { Redriver } from './consuming/redriver.js';
import type { PlacedSubscription } from './consuming/subscription-plan.js';
import { BrokerDesk } from './dead-letter/broker-desk.js';
import { DeadLetterService } from './dead-letter/dead-letter-service.js';
import type { DeadLetterStore } from './dead-letter/dead-letter-store.js';
import type { RedriveEnd, RunDeadLetter } from './dead-letter/run-dead-letter.js';
import type { ResolvedEventsOptions } from './events.options.js';
import type { DeadLetterListeners } from './handlers/dead-letter-listeners.js';

export interface DeadLetterParts extends Omit<RedriveTools, keyof StoreEnvironment | 'deadline'> {
  readonly options: ResolvedEventsOptions;
  readonly stores: StoreEnvironment;
  readonly transports: TransportRegistry;
  readonly store: DeadLetterStore | undefined;
  readonly listeners: DeadLetterListeners;
  /** The handlers of the application. */
  readonly handlers: () => readonly PlacedSubscription[];
}

/** What goes on about dead letters beside the consumers: collecting and redriving. The lifecycle starts and ends it. */
export class DeadLetterWork {
  readonly service: DeadLetterService;
  readonly #lanes: RedriveLanes;
  readonly #handlers: HandlersHere;
  readonly #deadline = new AbortController();
  /** With a store. */
  readonly #redriver: Redriver | undefined;
  readonly #collector: DeadLetterCollector | undefined;
  /** Without one. */
  readonly #brokers: BrokerDesk;

  constructor(private readonly parts: DeadLetterParts) {
    const { options, stores, store, transports, policy, pipeline, breakers, caution, listeners } = parts;
    const { clock, logger, report } = stores;
    const handlers = (this.#handlers = new HandlersHere(() =>
      parts.handlers().map(({ subscription }) => subscription),
    ));
    const tools: RedriveTools = {
      ...{ clock, logger, report, policy, pipeline, breakers, caution, transports },
      deadline: this.#deadline.signal,
    };
    const lanes = (this.#lanes = new RedriveLanes(tools));
    this.#brokers = new BrokerDesk({ run: this.#run, clock, logger, transports, handlers: () => handlers.all });
    if (store !== undefined) {
      const { pollMs, collect } = options.deadLetters;
      const by = `${hostname()}:${process.pid}:${randomUUID()}`;
      this.#redriver = new Redriver({ ...{ store, lanes, handlers, by, pollMs }, clock, logger, breakers });
      if (collect)
        this.#collector = new DeadLetterCollector({ store, transports, clock, report, tell: listeners.tell });
    }
    this.service = new DeadLetterService({
      desk: store ?? this.#brokers,
      ...{ transports, clock, report, service: options.service },
      requested: () => this.#redriver?.hint(),
    });
  }

  /** Before anything is consumed. Throws what a handler cannot have. */
  async prepare(): Promise<void> {
    assertCanPark(this.#handlers.all, this.parts.store);
    await this.parts.store?.prepare();
  }

  /** When the consumers have started. */
  async start(): Promise<void> {
    this.#redriver?.start();
    await this.#collector?.start(this.parts.handlers());
  }

  /** Begins nothing more and waits for what runs; what is not done within the deadline is told to stop. Returns whether all was. */
  async drain(deadlineMs: number): Promise<boolean> {
    const { clock } = this.parts.stores;
    await this.#redriver?.stop();
    this.#lanes.close();
    const done = await within(clock, deadlineMs, Promise.all([this.#lanes.idle(), this.#brokers.close()]));
    this.#deadline.abort();
    await within(clock, deadlineMs, Promise.all([this.#redriver?.drain(), this.#collector?.close()]));
    return done;
  }

  close(): void {
    this.parts.store?.close?.();
  }

  readonly #run: RunDeadLetter = (letter) =>
    new Promise<RedriveEnd | undefined>((resolve) => {
      const subscription = this.#handlers.of(letter);
      if (subscription === undefined) return resolve(undefined);
      const { signal: lost } = new AbortController();
      const settle = async (end: RedriveEnd): Promise<void> => resolve(end);
      this.#lanes.push({ letter, subscription, lost, settle, release: () => resolve(undefined) });
    });
}

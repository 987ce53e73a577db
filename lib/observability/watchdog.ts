import * as inspector from 'node:inspector';
import { Worker } from 'node:worker_threads';
import type { Report } from '../core/activity.js';
import { messageOf } from '../core/errors.js';
import { printable, type EventsLogger } from '../core/logger.js';
import { consumerName, type Subscription } from '../core/subscription.js';
import type { WatchdogOptions } from './watchdog-options.js';
import { BEATS, BEGUN_LAST, BLOCKED, CELLS, DEBUGGED, WATCHDOG_SOURCE, type WatchdogTask } from './watchdog.worker.js';

export interface WatchdogTools {
  readonly logger: EventsLogger;
  readonly report: Report;
}

/** A shorter tick costs more than it tells. */
const SHORTEST_TICK_MS = 50;
/** What it needs; a default heap would reserve far more. */
const LIMITS = { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 2, stackSizeMb: 1 };

/**
 * Watches the event loop from a thread of its own: while it is blocked nothing in it can tell. Says so when it happens, on
 * stderr, and ends the process where that is wanted; reports it when the loop is back. Not while a debugger is attached.
 */
export class Watchdog {
  readonly #cells = new Int32Array(new SharedArrayBuffer(CELLS * Int32Array.BYTES_PER_ELEMENT));
  #beating: NodeJS.Timeout | undefined;
  #worker: Worker | undefined;
  #lastBeat = 0;
  #handlers: readonly string[] = [];
  readonly #numbers = new Map<Subscription, number>();

  constructor(
    private readonly options: WatchdogOptions,
    private readonly tools: WatchdogTools,
  ) {}

  /** Keeps no process alive. The thread comes up by itself, also when the loop is blocked at once. */
  start(subscriptions: readonly Subscription[]): void {
    if (this.#worker !== undefined || isDebugged()) return;
    const tickMs = Math.max(SHORTEST_TICK_MS, Math.round(this.options.blockedMs / 10));
    const handlers = (this.#handlers = subscriptions.map((each) => printable(consumerName(each))));
    subscriptions.forEach((each, index) => this.#numbers.set(each, index + 1));
    const workerData: WatchdogTask = { ...this.options, tickMs, cells: this.#cells, handlers };
    this.#lastBeat = performance.now();
    this.#beating = setInterval(() => this.#beat(), tickMs).unref();
    const worker = new Worker(WATCHDOG_SOURCE, {
      ...{ eval: true, name: 'nestjs-events watchdog', workerData, resourceLimits: LIMITS },
      // n.b. what the application preloads is not meant for this thread
      ...{ env: {}, execArgv: [] },
    });
    worker.on('error', (error) => this.#gone(error));
    worker.unref();
    this.#worker = worker;
  }

  /** One number for each attempt: a text would cost more than some handlers. */
  begins(subscription: Subscription): void {
    this.#cells[BEGUN_LAST] = this.#numbers.get(subscription) ?? 0;
  }

  async stop(): Promise<void> {
    clearInterval(this.#beating);
    await this.#worker?.terminate();
    this.#worker = undefined;
  }

  #beat(): void {
    const now = performance.now();
    const blockedMs = Math.round(now - this.#lastBeat);
    this.#lastBeat = now;
    Atomics.add(this.#cells, BEATS, 1);
    Atomics.store(this.#cells, DEBUGGED, isDebugged() ? 1 : 0);
    const blocked = Atomics.exchange(this.#cells, BLOCKED, 0);
    if (blocked > 0) this.#wasBlocked(Math.max(blockedMs, this.options.blockedMs), this.#handlers[blocked - 2]);
  }

  #wasBlocked(blockedMs: number, begunLast: string | undefined): void {
    this.tools.report({ type: 'event-loop-blocked', blockedMs });
    this.tools.logger.error(
      `EVENTS_EVENT_LOOP_BLOCKED: nothing else could run for ${blockedMs} ms.` +
        (begunLast === undefined ? '' : ` The handler that began last is ${begunLast}.`) +
        ' Look for a loop, a regular expression or a ' +
        'synchronous call that takes so long, and split it or move it to a worker thread.',
    );
  }

  #gone(error: unknown): void {
    clearInterval(this.#beating);
    this.tools.logger.warn(`the watchdog has ended: ${printable(messageOf(error))}`);
  }
}

/** A breakpoint blocks the loop, too. */
function isDebugged(): boolean {
  return inspector.url() !== undefined;
}

import { systemClock } from '../../lib/core/clock.js';
import type { Activity, Report } from '../../lib/core/activity.js';
import { isBatch, type BatchAttempt } from '../../lib/core/batch.js';
import type { Attempt } from '../../lib/core/delivery.js';
import { isOutcome, outcome, type Outcome } from '../../lib/core/outcome.js';
import { mergeRetry, type RetryOptions, type RetryOverrides } from '../../lib/core/retry-options.js';
import { HandlingScope } from '../../lib/core/scope.js';
import type { BatchOptions, Subscription } from '../../lib/core/subscription.js';
import { TransportRegistry } from '../../lib/core/transport-registry.js';
import type { Transport } from '../../lib/core/transport.js';
import { consumerPipeline } from '../../lib/consuming/consumer.pipeline.js';
import { Consumers } from '../../lib/consuming/consumers.js';
import { CircuitBreakers } from '../../lib/retry/circuit-breakers.js';
import { DEFAULT_RETRY, RetryPolicy } from '../../lib/retry/retry-policy.js';
import { eventually, type EventuallyOptions } from './eventually.js';
import { RecordingLogger } from './recording-logger.js';

/** One run of a handler. */
export interface Call {
  readonly handler: string;
  readonly envelope: Attempt['envelope'];
  readonly attempt: Attempt;
  readonly startedAt: number;
  state: 'running' | 'done' | 'failed';
}

/** One run of a batch handler. */
export interface BatchCall extends Omit<Call, 'envelope' | 'attempt'> {
  readonly envelopes: BatchAttempt['envelopes'];
  readonly attempt: BatchAttempt;
}

export interface TestHandler {
  readonly group: string;
  readonly patterns: readonly string[];
  /** Default `handler`. */
  readonly id?: string;
  /** What it returns is ignored unless it is an outcome. Default: done at once. */
  readonly handle?: (call: Call) => unknown;
  /** Takes batches: `handleBatch` is called instead of `handle`. */
  readonly batch?: BatchOptions;
  readonly handleBatch?: (call: BatchCall) => unknown;
  /** Default 10. */
  readonly concurrency?: number;
  readonly ordering?: Subscription['ordering'];
  /** Over {@link QUICK_RETRY}. */
  readonly retry?: RetryOverrides;
}

/** Four attempts, as by default, but quick. */
export const QUICK_RETRY: RetryOptions = {
  ...DEFAULT_RETRY,
  attempts: 4,
  backoff: { type: 'exponential', initialMs: 20, maxMs: 100, jitter: false },
};

export function subscriptionOf(handler: TestHandler): Subscription {
  return {
    handler: handler.id ?? 'handler',
    aliases: [],
    group: handler.group,
    patterns: handler.patterns,
    concurrency: handler.concurrency ?? 10,
    ...(handler.batch === undefined ? {} : { batch: handler.batch }),
    ordering: handler.ordering ?? 'key',
    afterDeadLetter: 'continue',
    idempotent: false,
    transportOptions: {},
  };
}

/** Handlers on a transport, run by the real consumer, pipeline, policy and settling; every call is recorded. */
export class TestConsumer {
  readonly calls: Call[] = [];
  readonly batches: BatchCall[] = [];
  readonly activities: Activity[] = [];
  readonly logger = new RecordingLogger();
  /** The ids of the events that were handled, each once. */
  readonly ids = new Set<string>();
  /** Calls that came after it had been closed: there must be none. */
  readonly late: (Call | BatchCall)[] = [];
  readonly #handlers: ReadonlyMap<Subscription, TestHandler>;
  readonly #consumers: Consumers;
  #closing: Promise<number> | undefined;
  #closed = false;

  constructor(transport: Transport, handlers: readonly TestHandler[]) {
    this.#handlers = new Map(handlers.map((handler) => [subscriptionOf(handler), handler]));
    const report: Report = (activity) => void this.activities.push(activity);
    const retryOf = (subscription: Subscription): RetryOptions =>
      mergeRetry(QUICK_RETRY, this.#handlers.get(subscription)?.retry);
    this.#consumers = new Consumers(new TransportRegistry([transport]), {
      clock: systemClock,
      logger: this.logger,
      report,
      pipeline: consumerPipeline(
        (attempt) => (isBatch(attempt) ? this.#invokeBatch(attempt) : this.#invoke(attempt)),
        new HandlingScope(),
      ),
      policy: new RetryPolicy(retryOf),
      breakers: new CircuitBreakers({ clock: systemClock, logger: this.logger, report, optionsOf: retryOf }),
    });
  }

  async start(): Promise<this> {
    const placed = [...this.#handlers.keys()].map((subscription) => ({ subscription, transport: undefined }));
    await this.#consumers.declare(placed);
    await this.#consumers.start(placed);
    return this;
  }

  /** Stops, waits for what runs up to the deadline, leaves. Returns how many did not finish. */
  close(deadlineMs = 20_000): Promise<number> {
    this.#closing ??= this.#consumers.drain(deadlineMs).finally(() => (this.#closed = true));
    return this.#closing;
  }

  /** The calls that were handled, in the order they started. */
  get done(): Call[] {
    return this.calls.filter((call) => call.state === 'done');
  }

  /** The data of the events that were handled, in the order they started. */
  get data(): unknown[] {
    return this.done.map((call) => call.envelope.data);
  }

  of(handler: string): Call[] {
    return this.calls.filter((call) => call.handler === handler);
  }

  count(type: Activity['type']): number {
    return this.activities.filter((activity) => activity.type === type).length;
  }

  /** Waits until that many different events were handled. */
  async handled(count: number, options: EventuallyOptions = {}): Promise<Call[]> {
    await eventually(() => this.ids.size >= count || Promise.reject(new Error(`${this.ids.size} of ${count}`)), {
      what: `handling ${count} events`,
      ...options,
    });
    return this.done;
  }

  async #invoke(attempt: Attempt): Promise<Outcome> {
    const { envelope, subscription } = attempt;
    const call: Call = {
      handler: subscription.handler,
      envelope,
      attempt,
      startedAt: performance.now(),
      state: 'running',
    };
    (this.#closed ? this.late : this.calls).push(call);
    return this.#run(call, [envelope], () => this.#handlers.get(subscription)?.handle?.(call));
  }

  async #invokeBatch(attempt: BatchAttempt): Promise<Outcome> {
    const { envelopes, subscription } = attempt;
    const { handler } = subscription;
    const call: BatchCall = { handler, envelopes, attempt, startedAt: performance.now(), state: 'running' };
    (this.#closed ? this.late : this.batches).push(call);
    return this.#run(call, envelopes, () => this.#handlers.get(subscription)?.handleBatch?.(call));
  }

  async #run(call: Pick<Call, 'state'>, envelopes: BatchAttempt['envelopes'], handle: () => unknown): Promise<Outcome> {
    try {
      const result = await handle();
      call.state = 'done';
      for (const { id } of envelopes) this.ids.add(id);
      return isOutcome(result) ? result : outcome.ack();
    } catch (error) {
      call.state = 'failed';
      throw error;
    }
  }
}

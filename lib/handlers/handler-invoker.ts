import { isBatch, type AnyAttempt } from '../core/batch.js';
import type { FailurePolicy } from '../core/delivery.js';
import type { HandlerArguments } from '../core/events-context.js';
import type { EventsLogger } from '../core/logger.js';
import { isOutcome, outcome, type Outcome } from '../core/outcome.js';
import { filtered, HandlerCalls } from './handler-calls.js';
import type { HandlerContextFactory } from './handler-context.js';
import type { HandlerRegistry, RegisteredHandler } from './handler-registry.js';

export interface InvokerTools {
  /** Makes the factory, once, when the application has bootstrapped. */
  readonly contexts: () => HandlerContextFactory;
  readonly registry: HandlerRegistry;
  readonly policy: FailurePolicy;
  readonly logger: EventsLogger;
}

/** Enters Nest: guards → interceptors → pipes → the method → filters, and makes an outcome of what comes back. */
export class HandlerInvoker {
  readonly #calls: HandlerCalls<RegisteredHandler>;

  constructor(private readonly tools: InvokerTools) {
    this.#calls = new HandlerCalls(tools.contexts);
  }

  /** Wraps the handlers. Enhancers are captured here, so call it when the application has bootstrapped. */
  prepare(): void {
    this.#calls.prepare(this.tools.registry.all());
  }

  /** Runs one attempt. Throws only what no filter turned into an outcome: the original error. */
  async invoke(attempt: AnyAttempt): Promise<Outcome> {
    const { registry, policy, logger } = this.tools;
    const call = await this.#calls.of(registry.of(attempt.subscription), attempt);
    const args = argumentsOf(attempt);
    try {
      const result = await call.run(...args);
      return isOutcome(result) ? result : outcome.ack('handled');
    } catch (error) {
      const { handler } = attempt.subscription;
      return (await filtered({ call, args, error, handler }, logger)) ?? policy.decide(error, attempt);
    }
  }
}

function argumentsOf(attempt: AnyAttempt): HandlerArguments {
  if (isBatch(attempt)) return [attempt.envelopes, attempt.envelopes, attempt];
  return [attempt.envelope.data, attempt.envelope, attempt];
}

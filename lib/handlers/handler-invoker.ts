import { ContextIdFactory } from '@nestjs/core';
import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host.js';
import { Injector } from '@nestjs/core/injector/injector.js';
import type { Module } from '@nestjs/core/injector/module.js';
import { isBatch, type AnyAttempt } from '../core/batch.js';
import type { FailurePolicy } from '../core/delivery.js';
import { messageOf } from '../core/errors.js';
import { EVENTS_CONTEXT, type HandlerArguments } from '../core/events-context.js';
import type { EventsLogger } from '../core/logger.js';
import { isOutcome, outcome, type Outcome } from '../core/outcome.js';
import type { HandlerCall, HandlerContextFactory } from './handler-context.js';
import type { HandlerRegistry, RegisteredHandler } from './handler-registry.js';
import { settled } from './settled.js';

export interface InvokerTools {
  /** Makes the factory, once, when the application has bootstrapped. */
  readonly contexts: () => HandlerContextFactory;
  readonly registry: HandlerRegistry;
  readonly policy: FailurePolicy;
  readonly logger: EventsLogger;
}

/** Enters Nest: guards → interceptors → pipes → the method → filters, and makes an outcome of what comes back. */
export class HandlerInvoker {
  readonly #calls = new Map<RegisteredHandler, HandlerCall>();
  readonly #injector = new Injector();
  #contexts: HandlerContextFactory | undefined;

  constructor(private readonly tools: InvokerTools) {}

  /** Wraps the handlers. Enhancers are captured here, so call it when the application has bootstrapped. */
  prepare(): void {
    const contexts = this.#prepared();
    for (const handler of this.tools.registry.all()) {
      if (!isScoped(handler)) this.#calls.set(handler, contexts.create(handler));
    }
  }

  /** Runs one attempt. Throws only what no filter turned into an outcome: the original error. */
  async invoke(attempt: AnyAttempt): Promise<Outcome> {
    const call = await this.#callFor(attempt);
    const args = argumentsOf(attempt);
    try {
      const result = await call.run(...args);
      return isOutcome(result) ? result : outcome.ack('handled');
    } catch (error) {
      return this.#afterFailure({ call, args, error, attempt });
    }
  }

  /**
   * Only an outcome that a filter returns on purpose counts. A filter that logs and returns nothing, or a promise of
   * nothing, leaves the failure a failure; one that throws does not hide it.
   */
  async #afterFailure(failure: FailedCall): Promise<Outcome> {
    const { call, args, error, attempt } = failure;
    const host = new ExecutionContextHost([...args]);
    host.setType(EVENTS_CONTEXT);
    try {
      const filtered = await settled(call.filter(error, host));
      if (isOutcome(filtered)) return filtered;
    } catch (filterError) {
      if (filterError !== error) {
        this.tools.logger.warn(
          `EVENTS_FILTER_FAILED: a filter of "${attempt.subscription.handler}" threw ${messageOf(filterError)} ` +
            `while it handled ${messageOf(error)}; the original error decides.`,
        );
      }
    }
    return this.tools.policy.decide(error, attempt);
  }

  async #callFor(attempt: AnyAttempt): Promise<HandlerCall> {
    const handler = this.tools.registry.of(attempt.subscription);
    return this.#calls.get(handler) ?? this.#scopedCall(handler, attempt);
  }

  /** Request scope: new instances of the handler's class and what it injects, for this attempt alone. */
  async #scopedCall(handler: RegisteredHandler, attempt: AnyAttempt): Promise<HandlerCall> {
    const contexts = this.#prepared();
    const { wrapper } = handler;
    const host = wrapper.host as Module;
    const contextId = ContextIdFactory.create();
    contexts.registerRequest(attempt, contextId);
    const collection = host.controllers.has(wrapper.token) ? host.controllers : host.providers;
    const instance = await this.#injector.loadPerContext(wrapper.instance, host, collection, contextId, wrapper);
    return contexts.create(handler, instance, contextId);
  }

  #prepared(): HandlerContextFactory {
    return (this.#contexts ??= this.tools.contexts());
  }
}

interface FailedCall {
  readonly call: HandlerCall;
  readonly args: HandlerArguments;
  readonly error: unknown;
  readonly attempt: AnyAttempt;
}

function argumentsOf(attempt: AnyAttempt): HandlerArguments {
  if (isBatch(attempt)) return [attempt.envelopes, attempt.envelopes, attempt];
  return [attempt.envelope.data, attempt.envelope, attempt];
}

function isScoped(handler: RegisteredHandler): boolean {
  return !handler.wrapper.isDependencyTreeStatic();
}

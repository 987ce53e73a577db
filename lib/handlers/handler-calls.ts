import { ContextIdFactory } from '@nestjs/core';
import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host.js';
import { Injector } from '@nestjs/core/injector/injector.js';
import type { InstanceWrapper } from '@nestjs/core/injector/instance-wrapper.js';
import type { Module } from '@nestjs/core/injector/module.js';
import { messageOf } from '../core/errors.js';
import { EVENTS_CONTEXT } from '../core/events-context.js';
import type { EventsLogger } from '../core/logger.js';
import { isOutcome, type Outcome } from '../core/outcome.js';
import type { HandlerCall, HandlerContextFactory, HandlerPlace } from './handler-context.js';
import { settled } from './settled.js';

/** Methods with their enhancers: made once, or for each call where a method's class is request-scoped. */
export class HandlerCalls<H extends HandlerPlace> {
  readonly #calls = new Map<H, HandlerCall>();
  readonly #injector = new Injector();
  #contexts: HandlerContextFactory | undefined;

  /** @param contexts makes the factory, once, when the application has bootstrapped. */
  constructor(private readonly contexts: () => HandlerContextFactory) {}

  /** Enhancers are captured here, so call it when the application has bootstrapped. */
  prepare(handlers: readonly H[]): void {
    const contexts = this.#prepared();
    for (const handler of handlers) if (!isScoped(handler.wrapper)) this.#calls.set(handler, contexts.create(handler));
  }

  /** @param request what `@Inject(REQUEST)` is for a request-scoped class. */
  async of(handler: H, request: object): Promise<HandlerCall> {
    return this.#calls.get(handler) ?? this.#scopedCall(handler, request);
  }

  /** Request scope: new instances of the handler's class and what it injects, for this call alone. */
  async #scopedCall(handler: H, request: object): Promise<HandlerCall> {
    const contexts = this.#prepared();
    const { wrapper } = handler;
    const host = wrapper.host as Module;
    const contextId = ContextIdFactory.create();
    contexts.registerRequest(request, contextId);
    const collection = host.controllers.has(wrapper.token) ? host.controllers : host.providers;
    const instance = await this.#injector.loadPerContext(wrapper.instance, host, collection, contextId, wrapper);
    return contexts.create(handler, instance, contextId);
  }

  #prepared(): HandlerContextFactory {
    return (this.#contexts ??= this.contexts());
  }
}

export interface FailedCall {
  readonly call: HandlerCall;
  readonly args: readonly unknown[];
  readonly error: unknown;
  readonly handler: string;
}

/**
 * Only an outcome that a filter returns on purpose counts. A filter that logs and returns nothing, or a promise of
 * nothing, leaves the failure a failure; one that throws does not hide it.
 */
export async function filtered(failure: FailedCall, logger: EventsLogger): Promise<Outcome | undefined> {
  const { call, args, error, handler } = failure;
  const host = new ExecutionContextHost([...args]);
  host.setType(EVENTS_CONTEXT);
  try {
    const value = await settled(call.filter(error, host));
    return isOutcome(value) ? value : undefined;
  } catch (filterError) {
    if (filterError !== error) {
      logger.warn(
        `EVENTS_FILTER_FAILED: a filter of "${handler}" threw ${messageOf(filterError)} ` +
          `while it handled ${messageOf(error)}; the original error decides.`,
      );
    }
    return undefined;
  }
}

function isScoped(wrapper: InstanceWrapper<object>): boolean {
  return !wrapper.isDependencyTreeStatic();
}

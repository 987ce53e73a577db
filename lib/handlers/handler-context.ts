import { ROUTE_ARGS_METADATA } from '@nestjs/common/constants.js';
import type { ArgumentsHost, ExceptionFilter, NestInterceptor } from '@nestjs/common';
import { ApplicationConfig, ExternalContextCreator, type ModuleRef } from '@nestjs/core';
import { ExternalExceptionFilterContext } from '@nestjs/core/exceptions/external-exception-filter-context.js';
import type { NestContainer } from '@nestjs/core/injector/container.js';
import type { ContextId, InstanceWrapper } from '@nestjs/core/injector/instance-wrapper.js';
import { EVENTS_CONTEXT, type HandlerArguments } from '../core/events-context.js';
import { DirectInterceptors } from './direct-interceptors.js';
import { payloadOf } from './payload.js';
import { settled } from './settled.js';

/** A handler with its enhancers, ready to be called. */
export interface HandlerCall {
  /** Guards → interceptors → pipes → the method. Rejects with the original error. */
  readonly run: (...args: HandlerArguments) => Promise<unknown>;
  /** The first filter that catches the error, or `undefined` when none does. */
  readonly filter: (error: unknown, host: ArgumentsHost) => unknown;
}

export interface HandlerEnhancers {
  /** Outermost first; they run for every handler. */
  readonly interceptors: readonly NestInterceptor[];
  /** They get what no filter of the handler or its class caught. */
  readonly filters: readonly ExceptionFilter[];
  /** Whether the application's global guards, pipes, interceptors and filters apply to handlers as well. */
  readonly inheritAppConfig: boolean;
}

/** Where a handler is. */
export interface HandlerPlace {
  readonly wrapper: InstanceWrapper<object>;
  readonly method: string;
}

/** What `@Payload()` and `@Ctx()` of @nestjs/microservices leave in a method's metadata. */
const PAYLOAD = 3;
const CONTEXT = 6;
const parameters = {
  exchangeKeyForValue(type: number, property: unknown, args: unknown): unknown {
    const handlerArgs = args as HandlerArguments;
    if (type === PAYLOAD) return payloadOf(handlerArgs, typeof property === 'string' ? property : undefined);
    return type === CONTEXT ? handlerArgs[2] : null;
  },
};

/**
 * Wraps handlers the way Nest wraps its own. It works on the application's container with a configuration of its own,
 * because the application's global enhancers are mostly written for HTTP.
 */
export class HandlerContextFactory {
  readonly #creator: ExternalContextCreator;
  readonly #filters: ExternalExceptionFilterContext;
  readonly #container: NestContainer;

  constructor(moduleRef: ModuleRef, enhancers: HandlerEnhancers) {
    this.#container = moduleRef['container'];
    const config = handlerConfig(enhancers, this.#container.applicationConfig);
    const container = Object.create(this.#container, { applicationConfig: { value: config } }) as NestContainer;
    this.#creator = ExternalContextCreator.fromContainer(container);
    Object.assign(this.#creator, { interceptorsConsumer: new DirectInterceptors() });
    // An Observable that completes without a value is a handler that is done, not rxjs's EmptyError.
    this.#creator.transformToResult = settled;
    this.#filters = new ExternalExceptionFilterContext(container, config);
  }

  /** @param instance the handler's object when it was made for `contextId`. Default: the singleton. */
  create({ wrapper, method }: HandlerPlace, instance: object = wrapper.instance, contextId?: ContextId): HandlerCall {
    const moduleKey = wrapper.host?.token ?? '';
    // Nest looks for the host among providers only: on a controller, guards given as classes would not be found, nor missed.
    Object.assign(this.#creator, { getHostModuleKey: () => moduleKey, getContextModuleKey: () => moduleKey });
    // Not a bound function: enhancers of the method are metadata on this very function.
    const callback = (instance as Record<string, (...args: unknown[]) => unknown>)[method] as () => unknown;
    const run = this.#creator.create(
      instance,
      callback,
      method,
      ROUTE_ARGS_METADATA,
      parameters,
      contextId,
      undefined,
      // Filters run apart from it, so that an error stays known as one whatever a filter returns.
      { guards: true, interceptors: true, filters: false },
      EVENTS_CONTEXT,
    );
    const handler = this.#filters.create(instance, callback as never, moduleKey, contextId);
    return { run: run as HandlerCall['run'], filter: (error, host) => handler.invokeCustomFilters(error, host) };
  }

  /** Makes `@Inject(REQUEST)` of request-scoped providers resolve to `request`. */
  registerRequest(request: object, contextId: ContextId): void {
    this.#container.registerRequestProvider(request, contextId);
  }
}

function handlerConfig(enhancers: HandlerEnhancers, app: ApplicationConfig | undefined): ApplicationConfig {
  const config = new ApplicationConfig();
  config.useGlobalInterceptors(...enhancers.interceptors);
  // Nest asks the last filter first: ours come after the application's.
  config.useGlobalFilters(...enhancers.filters);
  if (!enhancers.inheritAppConfig || app === undefined) return config;
  config.useGlobalGuards(...app.getGlobalGuards());
  config.useGlobalPipes(...app.getGlobalPipes());
  config.useGlobalInterceptors(...app.getGlobalInterceptors());
  config.useGlobalFilters(...app.getGlobalFilters());
  for (const wrapper of app.getGlobalRequestGuards()) config.addGlobalRequestGuard(wrapper);
  for (const wrapper of app.getGlobalRequestPipes()) config.addGlobalRequestPipe(wrapper);
  for (const wrapper of app.getGlobalRequestInterceptors()) config.addGlobalRequestInterceptor(wrapper);
  for (const wrapper of app.getGlobalRequestFilters()) config.addGlobalRequestFilter(wrapper);
  return config;
}

import type { ExecutionContext, NestInterceptor } from '@nestjs/common';
import { InterceptorsConsumer } from '@nestjs/core/interceptors/interceptors-consumer.js';
import { AROUND, type DirectInterceptor } from '../core/events-context.js';
import { settled } from './settled.js';

/**
 * Nest's own, but for the one interceptor that most handlers have: a chain of Observables around it takes longer than
 * everything else between a broker and the handler.
 */
export class DirectInterceptors extends InterceptorsConsumer {
  override async intercept(...call: Parameters<InterceptorsConsumer['intercept']>): Promise<unknown> {
    const [interceptors, args, instance, callback, next, type] = call;
    const [only] = interceptors;
    if (interceptors.length !== 1 || !isDirect(only)) return super.intercept(...call);
    const context = this.createContext(args, instance, callback);
    context.setType(type as string);
    return only[AROUND](context, async () => settled(next()));
  }
}

function isDirect(
  interceptor: NestInterceptor | undefined,
): interceptor is NestInterceptor & DirectInterceptor<ExecutionContext> {
  return interceptor !== undefined && AROUND in interceptor;
}

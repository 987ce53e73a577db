import type { AnyAttempt, BatchAttempt } from './batch.js';
import type { Attempt } from './delivery.js';
import type { Envelope } from './envelope.js';

/** What Nest calls the kind of execution context that handlers of this module run in. */
export const EVENTS_CONTEXT = 'events';

/** The part of Nest's ArgumentsHost that is needed here. */
interface HostLike {
  getType(): string;
  getArgByIndex(index: number): unknown;
}

/** The arguments every guard, interceptor, pipe and filter of a handler sees; of a batch handler, the envelopes twice. */
export type HandlerArguments =
  | readonly [data: unknown, envelope: Envelope, attempt: Attempt]
  | readonly [envelopes: readonly Envelope[], envelopes: readonly Envelope[], attempt: BatchAttempt];

/** Whether an execution context belongs to an event handler: `if (isEventsContext(context)) …` in a guard that also serves HTTP. */
export function isEventsContext(host: HostLike): boolean {
  return host.getType() === EVENTS_CONTEXT;
}

/** The attempt that an events context belongs to. Call it only where {@link isEventsContext} holds. */
export function attemptOf(host: HostLike): AnyAttempt {
  return host.getArgByIndex(2) as AnyAttempt;
}

/** The method of an interceptor that can do without Nest's chain of Observables, which costs more than most interceptors do. */
export const AROUND = Symbol('nestjs-events.around');

export interface DirectInterceptor<Context extends HostLike = HostLike> {
  /** What `intercept` does, with a promise. */
  [AROUND](context: Context, proceed: () => Promise<unknown>): Promise<unknown>;
}

import type { Attempt } from '../core/delivery.js';
import { compose, type Middleware } from '../core/middleware.js';
import type { Outcome } from '../core/outcome.js';
import type { HandlingScope } from '../core/scope.js';

/** One attempt: what surrounds it, then the handler. */
export type ConsumerPipeline = (attempt: Attempt) => Promise<Outcome>;

/** Remembers whose attempt the running code belongs to, so that what it publishes is linked to what it handles. */
function inScope(scope: HandlingScope): Middleware<Attempt, Outcome> {
  return (attempt, next) => scope.run(attempt, next);
}

export function consumerPipeline(
  invokeHandler: (attempt: Attempt) => Promise<Outcome>,
  scope: HandlingScope,
  middleware: readonly Middleware<Attempt, Outcome>[] = [],
): ConsumerPipeline {
  return compose([inScope(scope), ...middleware], invokeHandler);
}

import { isBatch, type AnyAttempt } from '../core/batch.js';
import { compose, type Middleware } from '../core/middleware.js';
import type { Outcome } from '../core/outcome.js';
import type { HandlingScope } from '../core/scope.js';

/** One attempt: what surrounds it, then the handler. */
export type ConsumerPipeline = (attempt: AnyAttempt) => Promise<Outcome>;

/** Remembers whose attempt the running code belongs to, so that what it publishes is linked to what it handles. A batch is no single cause. */
function inScope(scope: HandlingScope): Middleware<AnyAttempt, Outcome> {
  return (attempt, next) => (isBatch(attempt) ? next() : scope.run(attempt, next));
}

export function consumerPipeline(
  invokeHandler: (attempt: AnyAttempt) => Promise<Outcome>,
  scope: HandlingScope,
  middleware: readonly Middleware<AnyAttempt, Outcome>[] = [],
): ConsumerPipeline {
  return compose([inScope(scope), ...middleware], invokeHandler);
}

import { Catch, Inject, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import { FAILURE_POLICY, type FailurePolicy } from '../core/delivery.js';
import { attemptOf, isEventsContext } from '../core/events-context.js';
import type { Outcome } from '../core/outcome.js';

/**
 * Turns a failure into an outcome by asking the retry policy: again, or to the dead letters. It stands last in the
 * chain of every handler; filters of the handler or its class see the error first. Outside handlers it rethrows.
 */
@Catch()
export class DeadLetterFilter implements ExceptionFilter {
  constructor(@Inject(FAILURE_POLICY) private readonly policy: FailurePolicy) {}

  catch(error: unknown, host: ArgumentsHost): Outcome {
    if (!isEventsContext(host)) throw error;
    return this.policy.decide(error, attemptOf(host));
  }
}

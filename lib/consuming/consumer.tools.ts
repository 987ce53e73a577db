import type { Breakers } from '../core/breaker.js';
import type { FailurePolicy } from '../core/delivery.js';
import type { ParkedKeys } from '../core/parked-keys.js';
import type { ConsumerPipeline } from './consumer.pipeline.js';
import type { SettleTools } from './settle.js';

export interface ConsumerTools extends SettleTools {
  readonly pipeline: ConsumerPipeline;
  readonly policy: FailurePolicy;
  readonly breakers: Breakers;
  /** Where handlers with `afterDeadLetter: 'park-key'` keep what has to wait. */
  readonly parkedKeys?: ParkedKeys | undefined;
  /** Aborted when shutdown's deadline has passed. */
  readonly deadline: AbortSignal;
}

import type { FailurePolicy } from '../core/delivery.js';
import type { ConsumerPipeline } from './consumer.pipeline.js';
import type { SettleTools } from './settle.js';

export interface ConsumerTools extends SettleTools {
  readonly pipeline: ConsumerPipeline;
  readonly policy: FailurePolicy;
  /** Aborted when shutdown's deadline has passed. */
  readonly deadline: AbortSignal;
}

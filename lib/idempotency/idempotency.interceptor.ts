import { Inject, Optional, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { from, lastValueFrom, type Observable } from 'rxjs';
import { isBatch, type AnyAttempt, type BatchAttempt } from '../core/batch.js';
import { BatchError, type BatchFailure } from '../core/batch-error.js';
import type { Attempt } from '../core/delivery.js';
import { AROUND, attemptOf, isEventsContext, type DirectInterceptor } from '../core/events-context.js';
import { isOutcome, outcome, type Outcome } from '../core/outcome.js';
import { keyOf } from './idempotency-key.js';
import { IDEMPOTENCY_STORE, type IdempotencyKey, type IdempotencyStore } from './idempotency-store.js';

const APPLIED = 'idempotency';

/**
 * One effect per event and consumer: the event's id and what the handler writes become durable together, or neither does.
 * The ids of a batch are remembered together, and the handler gets those that are new.
 */
export class IdempotencyInterceptor implements NestInterceptor, DirectInterceptor<ExecutionContext> {
  constructor(@Optional() @Inject(IDEMPOTENCY_STORE) private readonly store: IdempotencyStore | null) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const handling = this.#begin(context, () => lastValueFrom(next.handle(), { defaultValue: undefined }));
    return handling === undefined ? next.handle() : from(handle(attemptOf(context), handling));
  }

  [AROUND](context: ExecutionContext, proceed: () => Promise<unknown>): Promise<unknown> {
    const handling = this.#begin(context, proceed);
    return handling === undefined ? proceed() : handle(attemptOf(context), handling);
  }

  /** `undefined` where there is nothing to do. */
  #begin(context: ExecutionContext, run: () => Promise<unknown>): Handling | undefined {
    if (this.store === null || !isEventsContext(context)) return undefined;
    const attempt = attemptOf(context);
    // By hand on top of forRoot's: the second application must not take the first for another delivery.
    if (!attempt.subscription.idempotent || attempt.notes.has(APPLIED)) return undefined;
    attempt.notes.add(APPLIED);
    return { store: this.store, method: context.getHandler(), effect: () => effectOf(run) };
  }
}

interface Handling {
  readonly store: IdempotencyStore;
  readonly method: object;
  readonly effect: () => Promise<unknown>;
}

async function handle(attempt: AnyAttempt, handling: Handling): Promise<unknown> {
  try {
    return isBatch(attempt) ? await onceAll(attempt, handling) : await once(attempt, handling);
  } catch (error) {
    if (error instanceof NoEffect) return error.decided;
    throw error;
  }
}

async function once(attempt: Attempt, { store, method, effect }: Handling): Promise<unknown> {
  const result = await store.once(keyOf(attempt, method), effect);
  return result.duplicate ? outcome.ack('duplicate') : result.value;
}

async function onceAll(batch: BatchAttempt, { store, method, effect }: Handling): Promise<unknown> {
  const { fresh, value } = await store.onceAll(keysOf(batch, method), (positions) => {
    batch.handOver(positions);
    return effect();
  });
  if (fresh.length > 0) return value;
  batch.handOver([]);
  return outcome.ack('duplicate');
}

/** An event that has no key is at fault by itself. */
function keysOf({ envelopes, subscription }: BatchAttempt, method: object): IdempotencyKey[] {
  const keys: IdempotencyKey[] = [];
  const failures: BatchFailure[] = [];
  for (const [index, envelope] of envelopes.entries()) {
    try {
      keys.push(keyOf({ subscription, envelope }, method));
    } catch (error) {
      failures.push({ index, error });
    }
  }
  if (failures.length > 0) throw new BatchError(failures);
  return keys;
}

async function effectOf(run: () => Promise<unknown>): Promise<unknown> {
  const value = await run();
  if (isOutcome(value) && (value.kind === 'retry' || value.kind === 'deadLetter')) throw new NoEffect(value);
  return value;
}

/** Undoes what a handler has written that returns "again" or "dead letter", as if it had thrown. */
class NoEffect extends Error {
  constructor(readonly decided: Outcome) {
    super(`the handler decided: ${decided.kind}`);
  }
}

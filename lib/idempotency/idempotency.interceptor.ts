import { Inject, Optional, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { from, lastValueFrom, type Observable } from 'rxjs';
import { attemptOf, isEventsContext } from '../core/events-context.js';
import type { Attempt } from '../core/delivery.js';
import { outcome } from '../core/outcome.js';
import { consumerName } from '../core/subscription.js';
import { IDEMPOTENCY_STORE, type IdempotencyStore } from './idempotency-store.js';

const APPLIED = 'idempotency';

/** One effect per event and consumer: the event's id and what the handler writes become durable together, or neither does. */
export class IdempotencyInterceptor implements NestInterceptor {
  constructor(@Optional() @Inject(IDEMPOTENCY_STORE) private readonly store: IdempotencyStore | null) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (this.store === null || !isEventsContext(context)) return next.handle();
    const attempt = attemptOf(context);
    // By hand on top of forRoot's: the second application must not take the first for another delivery.
    if (!attempt.subscription.idempotent || attempt.notes.has(APPLIED)) return next.handle();
    attempt.notes.add(APPLIED);
    return from(this.#once(this.store, attempt, next));
  }

  async #once(store: IdempotencyStore, attempt: Attempt, next: CallHandler): Promise<unknown> {
    const { subscription, envelope } = attempt;
    const key = {
      consumer: consumerName(subscription),
      aliases: subscription.aliases.map((alias) => consumerName({ group: subscription.group, handler: alias })),
      eventId: envelope.id,
    };
    const result = await store.once(key, () => lastValueFrom(next.handle(), { defaultValue: undefined }));
    return result.duplicate ? outcome.ack('duplicate') : result.value;
  }
}

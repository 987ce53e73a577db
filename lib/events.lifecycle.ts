import type {
  BeforeApplicationShutdown,
  OnApplicationBootstrap,
  OnApplicationShutdown,
  OnModuleInit,
} from '@nestjs/common';
import { systemClock, within } from './core/clock.js';
import type { EventsLogger } from './core/logger.js';
import type { TransportRegistry } from './core/transport-registry.js';
import type { Caution } from './consuming/caution.js';
import type { Consumers } from './consuming/consumers.js';
import { warnOfShortRetention } from './consuming/short-retention.js';
import type { DeadLetterWork } from './events.dead-letters.js';
import type { DeadLetterListeners } from './handlers/dead-letter-listeners.js';
import type { HandlerExplorer } from './handlers/handler-explorer.js';
import type { HandlerInvoker } from './handlers/handler-invoker.js';
import type { HandlerRegistry } from './handlers/handler-registry.js';
import type { IdempotencyStore } from './idempotency/idempotency-store.js';
import type { ActivityStream } from './observability/activity-stream.js';
import type { Watchdog } from './observability/watchdog.js';
import type { OutboxRelay } from './outbox/outbox-relay.js';
import type { OutboxStore } from './outbox/outbox-store.js';

export interface LifecycleParts {
  readonly explorer: HandlerExplorer;
  readonly registry: HandlerRegistry;
  readonly invoker: HandlerInvoker;
  readonly consumers: Consumers;
  /** Where attempts that end the process are looked for. */
  readonly caution: Caution | undefined;
  readonly service: string;
  readonly listeners: DeadLetterListeners;
  readonly deadLetters: DeadLetterWork;
  readonly transports: TransportRegistry;
  readonly idempotency: IdempotencyStore | undefined;
  readonly outbox: OutboxStore | undefined;
  readonly relay: OutboxRelay | undefined;
  readonly watchdog: Watchdog | undefined;
  readonly activity: ActivityStream;
  readonly logger: EventsLogger;
  readonly drainTimeoutMs: number;
}

/** How long an application may take after bootstrap to call enableShutdownHooks before it is told. */
const HOOKS_GRACE_MS = 1_000;
/** How long the end waits for a question to a broker that nobody needs the answer of any more. */
const RETENTION_GRACE_MS = 1_000;

/**
 * The order of starting and stopping:
 * publishing works from onModuleInit, handlers run from onApplicationBootstrap; at shutdown intake and relay stop first
 * and what runs is settled (beforeApplicationShutdown), then the transports close (onApplicationShutdown), because other
 * code may publish until then.
 */
export class EventsLifecycle
  implements OnModuleInit, OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown
{
  #hooksCheck: NodeJS.Timeout | undefined;
  /** Not waited for at start: it only warns. */
  #retentionCheck: Promise<void> | undefined;

  constructor(private readonly parts: LifecycleParts) {}

  async onModuleInit(): Promise<void> {
    const { explorer, transports, consumers, registry, idempotency, outbox, caution, deadLetters } = this.parts;
    await this.#orLeave(async () => {
      explorer.explore();
      await idempotency?.prepare();
      await outbox?.prepare();
      await deadLetters.prepare();
      await caution?.prepare();
      this.#warnOfOutboxElsewhere();
      await Promise.all(transports.all.map((transport) => transport.connect()));
      await consumers.declare(registry.all());
    });
  }

  async onApplicationBootstrap(): Promise<void> {
    const { invoker, listeners, consumers, registry, relay, idempotency, service } = this.parts;
    const { caution, watchdog, deadLetters } = this.parts;
    await this.#orLeave(async () => {
      invoker.prepare();
      const subscriptions = registry.all().map(({ subscription }) => subscription);
      listeners.prepare(new Set(subscriptions.map(({ group }) => group)));
      await caution?.open(service);
      // The first event may be the one that blocks.
      if (subscriptions.length > 0) watchdog?.start(subscriptions);
      await consumers.start(registry.all());
      await deadLetters.start();
      caution?.started();
    });
    relay?.start();
    idempotency?.start?.();
    this.#retentionCheck = this.#checkRetention();
    this.#hooksCheck = setTimeout(() => this.#warnWithoutShutdownHooks(), HOOKS_GRACE_MS).unref();
  }

  async beforeApplicationShutdown(): Promise<void> {
    const { relay, consumers, deadLetters, idempotency, caution, drainTimeoutMs, logger } = this.parts;
    clearTimeout(this.#hooksCheck);
    const [unfinished] = await Promise.all([
      consumers.drain(drainTimeoutMs),
      deadLetters.drain(drainTimeoutMs),
      relay?.stop(drainTimeoutMs),
      within(systemClock, drainTimeoutMs, Promise.resolve(idempotency?.stop?.())),
      within(systemClock, RETENTION_GRACE_MS, Promise.resolve(this.#retentionCheck)),
    ]);
    // While the application's database is still open.
    await caution?.close();
    if (unfinished > 0) {
      logger.warn(
        `${unfinished} consumer(s) still had handlers running after ${drainTimeoutMs} ms; their events will be delivered ` +
          'again. Raise drainTimeoutMs, or let handlers heed the signal of @EventAttempt().',
      );
    }
  }

  async onApplicationShutdown(): Promise<void> {
    const { transports, idempotency, outbox, deadLetters, caution, watchdog, activity } = this.parts;
    await watchdog?.stop();
    await Promise.all(transports.all.map((transport) => transport.close()));
    idempotency?.close?.();
    outbox?.close?.();
    deadLetters.close();
    caution?.release();
    activity.complete();
  }

  #warnOfOutboxElsewhere(): void {
    const { idempotency, outbox, logger } = this.parts;
    if (idempotency?.database === outbox?.database || idempotency?.database === undefined || outbox === undefined)
      return;
    logger.warn(
      'idempotency and outbox have different databases: what a handler publishes is not in its transaction, but sent at ' +
        'once. Give both the same dataSource, or wrap what belongs together in eventBus.transactional(() => …).',
    );
  }

  /** Nest runs no shutdown hooks for an application that failed to start: connections would keep the process alive. */
  async #orLeave(start: () => Promise<void>): Promise<void> {
    try {
      await start();
    } catch (error) {
      const { consumers, deadLetters, caution, drainTimeoutMs } = this.parts;
      await Promise.all([consumers.drain(drainTimeoutMs), deadLetters.drain(drainTimeoutMs)]);
      await caution?.close();
      await this.onApplicationShutdown().catch(() => undefined); // the first error is the one to tell
      throw error;
    }
  }

  async #checkRetention(): Promise<void> {
    const { idempotency, transports, registry, logger } = this.parts;
    if (idempotency?.retentionMs === undefined) return;
    const subscriptions = registry.all();
    await warnOfShortRetention({ rememberedMs: idempotency.retentionMs, subscriptions, transports, logger });
  }

  #warnWithoutShutdownHooks(): void {
    if (process.listenerCount('SIGTERM') > 0) return;
    this.parts.logger.warn(
      'Nobody listens for SIGTERM: call app.enableShutdownHooks(), or a deploy ends this process in the middle of its ' +
        'handlers (their events will be delivered again).',
    );
  }
}

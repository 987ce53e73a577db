import { Injectable, Logger, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { ActivityStream, type Activity } from 'nestjs-events';
import { isService } from '../simulation/simulation.js';
import { OrderProgress } from './order-progress.js';
import { OrdersService } from './orders.service.js';

type DeadLettered = Extract<Activity, { type: 'dead-lettered' }>;

/**
 * A service that gave up publishes nothing, but the library tells what it does: here, that an event became a dead
 * letter. It tells this process only, once; the dead letters themselves are the record (GET /dead-letters).
 */
@Injectable()
export class FailedSteps implements OnModuleInit, OnApplicationShutdown {
  readonly #logger = new Logger(FailedSteps.name);
  #writing: Promise<void> = Promise.resolve();

  constructor(
    private readonly activity: ActivityStream,
    private readonly progress: OrderProgress,
    private readonly orders: OrdersService,
  ) {}

  onModuleInit(): void {
    this.activity.activities.subscribe((activity) => {
      if (activity.type !== 'dead-lettered') return;
      this.#writing = this.#writing
        .then(() => this.#note(activity))
        .catch((error: unknown) => this.#logger.error(error));
    });
  }

  /** Events are given up until the last handler has ended; the database closes after this. */
  async onApplicationShutdown(): Promise<void> {
    await this.#writing;
  }

  async #note({ group, data, error }: DeadLettered): Promise<void> {
    const orderId = orderIdOf(data);
    if (orderId === undefined || !isService(group)) return;
    await this.progress.failed(orderId, group, { error: error instanceof Error ? error.message : String(error) });
    if (group === 'inventory' || group === 'payment') await this.orders.fail(orderId);
  }
}

function orderIdOf(data: unknown): string | undefined {
  if (typeof data !== 'object' || data === null) return undefined;
  const { orderId } = data as { orderId?: unknown };
  return typeof orderId === 'string' ? orderId : undefined;
}

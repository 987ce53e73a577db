import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { In, Repository } from 'typeorm';
import { SERVICES, type Service } from '../simulation/service.js';
import { OrderStep } from './order-step.entity.js';
import { Order, type OrderStatus, type Way } from './order.entity.js';

export interface StepView {
  readonly state: 'pending' | 'done' | 'failed';
  readonly startedAt?: string;
  readonly doneAt?: string;
  readonly failedAt?: string;
  readonly tookMs?: number;
  readonly error?: string;
}

export interface OrderView {
  readonly orderId: string;
  readonly userId: string;
  readonly way: Way;
  readonly status: OrderStatus;
  readonly placedAt: string;
  readonly completedAt?: string;
  readonly steps: Record<Service, StepView>;
}

/** How far each order is: what orders has heard from the others. */
@Injectable()
export class OrderProgress {
  constructor(
    @InjectRepository(Order) private readonly orders: Repository<Order>,
    @InjectRepository(OrderStep) private readonly steps: Repository<OrderStep>,
  ) {}

  async done(orderId: string, step: Service, times: { startedAt: Date; doneAt: Date }): Promise<void> {
    const { startedAt, doneAt: endedAt } = times;
    await this.steps.upsert({ orderId, step, state: 'done', startedAt, endedAt, error: null }, ['orderId', 'step']);
  }

  /** Does not overwrite: what was done in the end, after a repair, stays done. */
  async failed(orderId: string, step: Service, how: { error: string; startedAt?: Date }): Promise<void> {
    const failed = { orderId, step, state: 'failed' as const, endedAt: new Date(), ...how };
    await this.steps.createQueryBuilder().insert().values(failed).orIgnore().execute();
  }

  async find(orderId: string): Promise<OrderView | undefined> {
    const order = await this.orders.findOneBy({ id: orderId });
    return order === null ? undefined : (await this.#views([order]))[0];
  }

  async latest(limit: number): Promise<OrderView[]> {
    return this.#views(await this.orders.find({ order: { placedAt: 'DESC' }, take: limit }));
  }

  async #views(orders: Order[]): Promise<OrderView[]> {
    const steps = await this.steps.findBy({ orderId: In(orders.map(({ id }) => id)) });
    return orders.map((order) =>
      viewOf(
        order,
        steps.filter(({ orderId }) => orderId === order.id),
      ),
    );
  }
}

function viewOf(order: Order, steps: readonly OrderStep[]): OrderView {
  const state = (service: Service): StepView => stepView(steps.find(({ step }) => step === service));
  const [inventory, payment, email, analytics] = SERVICES;
  return {
    orderId: order.id,
    userId: order.userId,
    way: order.way,
    status: order.status,
    placedAt: order.placedAt.toISOString(),
    ...(order.completedAt === null ? {} : { completedAt: order.completedAt.toISOString() }),
    steps: {
      inventory: state(inventory),
      payment: state(payment),
      email: state(email),
      analytics: state(analytics),
    },
  };
}

function stepView(step: OrderStep | undefined): StepView {
  if (step === undefined) return { state: 'pending' };
  const { state, startedAt, endedAt, error } = step;
  const begin = startedAt === null ? {} : { startedAt: startedAt.toISOString(), tookMs: +endedAt - +startedAt };
  return state === 'done'
    ? { state, ...begin, doneAt: endedAt.toISOString() }
    : { state, ...begin, failedAt: endedAt.toISOString(), error: error ?? '' };
}

import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { Service } from '../simulation/service.js';

/** What orders has heard of a service's part in an order. Nothing heard: pending. */
@Entity('order_steps')
export class OrderStep {
  @PrimaryColumn('uuid')
  orderId!: string;

  @PrimaryColumn('text')
  step!: Service;

  @Column('text')
  state!: 'done' | 'failed';

  @Column('timestamptz', { nullable: true })
  startedAt!: Date | null;

  @Column('timestamptz')
  endedAt!: Date;

  @Column('text', { nullable: true })
  error!: string | null;
}

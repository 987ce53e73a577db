import { Column, CreateDateColumn, Entity, Index, PrimaryColumn } from 'typeorm';
import type { OrderItem } from '../shop.events.js';

export type OrderStatus = 'placed' | 'completed' | 'failed';
/** How its services are told: by events, or by calls one after another. */
export type Way = 'events' | 'sync';

@Entity('orders')
export class Order {
  @PrimaryColumn('uuid')
  id!: string;

  @Column('text')
  userId!: string;

  @Column('jsonb')
  items!: OrderItem[];

  @Column('bigint')
  totalCents!: number;

  @Column('text')
  way!: Way;

  @Column('text')
  status!: OrderStatus;

  @Index()
  @CreateDateColumn({ type: 'timestamptz' })
  placedAt!: Date;

  @Column('timestamptz', { nullable: true })
  completedAt!: Date | null;
}

import { Column, CreateDateColumn, Entity, Index, PrimaryGeneratedColumn } from 'typeorm';

@Entity('tracked_orders')
export class TrackedOrder {
  @PrimaryGeneratedColumn('identity', { type: 'bigint' })
  id!: string;

  @Index()
  @Column('uuid')
  orderId!: string;

  @Column('text')
  userId!: string;

  @Column('bigint')
  revenueCents!: number;

  @CreateDateColumn({ type: 'timestamptz' })
  trackedAt!: Date;
}

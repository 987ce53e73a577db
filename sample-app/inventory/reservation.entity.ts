import { Column, CreateDateColumn, Entity, Index, PrimaryGeneratedColumn } from 'typeorm';

/** One row an order. Nothing but the idempotency sees to that: no unique constraint would hide a second one. */
@Entity('reservations')
export class Reservation {
  @PrimaryGeneratedColumn('identity', { type: 'bigint' })
  id!: string;

  @Index()
  @Column('uuid')
  orderId!: string;

  @Column('int')
  units!: number;

  @CreateDateColumn({ type: 'timestamptz' })
  reservedAt!: Date;
}

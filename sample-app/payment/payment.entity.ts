import { Column, CreateDateColumn, Entity, Index, PrimaryGeneratedColumn } from 'typeorm';

@Entity('payments')
export class Payment {
  @PrimaryGeneratedColumn('identity', { type: 'bigint' })
  id!: string;

  @Index()
  @Column('uuid')
  orderId!: string;

  @Column('bigint')
  amountCents!: number;

  @CreateDateColumn({ type: 'timestamptz' })
  capturedAt!: Date;
}

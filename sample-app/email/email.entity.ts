import { Column, CreateDateColumn, Entity, Index, PrimaryGeneratedColumn } from 'typeorm';

@Entity('emails')
export class Email {
  @PrimaryGeneratedColumn('identity', { type: 'bigint' })
  id!: string;

  @Index()
  @Column('uuid')
  orderId!: string;

  @Column('text')
  subject!: string;

  @CreateDateColumn({ type: 'timestamptz' })
  sentAt!: Date;
}

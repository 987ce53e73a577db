import {
  BaseEntity,
  Column,
  DeleteDateColumn,
  Entity,
  EventSubscriber,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  Repository,
  Tree,
  TreeChildren,
  TreeParent,
  type EntitySubscriberInterface,
  type InsertEvent,
} from 'typeorm';

/** What the handlers of the tests about access paths write. */
@Entity('written')
export class Written extends BaseEntity {
  @PrimaryColumn('text')
  id!: string;

  @Column('text', { default: '' })
  note!: string;

  @Column('int', { default: 0 })
  count!: number;

  @DeleteDateColumn()
  deletedAt!: Date | null;
}

@Entity('branch')
@Tree('materialized-path')
export class Branch {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('text')
  name!: string;

  @TreeParent()
  parent!: Branch | null;

  @TreeChildren()
  children!: Branch[];
}

/** A repository as a class, as many applications have it. */
export class WrittenRepository extends Repository<Written> {
  async add(id: string): Promise<void> {
    await this.insert({ id });
  }
}

/** Writes beside what it is told of. */
@EventSubscriber()
export class WrittenSubscriber implements EntitySubscriberInterface<Written> {
  listenTo(): typeof Written {
    return Written;
  }

  async afterInsert({ entity, manager, queryRunner }: InsertEvent<Written>): Promise<void> {
    if (entity.note !== 'subscribed') return;
    await manager.insert(Written, { id: `${entity.id}-manager` });
    await queryRunner.manager.getRepository(Written).insert({ id: `${entity.id}-runner` });
  }
}

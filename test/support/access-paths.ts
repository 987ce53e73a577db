import { expect } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { InjectDataSource, InjectEntityManager, InjectRepository } from '@nestjs/typeorm';
import { DataSource, EntityManager, Repository, TreeRepository } from 'typeorm';
import { outsideTransaction } from '../../lib/typeorm.js';
import { Branch, Written, WrittenRepository } from './written.entities.js';

/** What Nest injects into the handler. */
@Injectable()
export class Access {
  constructor(
    @InjectRepository(Written) readonly repository: Repository<Written>,
    @InjectRepository(Branch) readonly tree: TreeRepository<Branch>,
    @InjectEntityManager() readonly manager: EntityManager,
    @InjectDataSource() readonly dataSource: DataSource,
    readonly custom: WrittenRepository,
  ) {}
}

/** Changes the row `<id>-seed`, or writes one that is called `<id>-…`. */
export type Write = (access: Access, id: string) => Promise<unknown>;

export const PATHS: Record<string, Write> = {
  '@InjectRepository: save': ({ repository }, id) => repository.save({ id: `${id}-new` }),
  '@InjectRepository: save of what was loaded': async ({ repository }, id) => {
    const seed = await repository.findOneByOrFail({ id: `${id}-seed` });
    await repository.save(Object.assign(seed, { note: 'after' }));
  },
  '@InjectRepository: insert': ({ repository }, id) => repository.insert({ id: `${id}-new` }),
  '@InjectRepository: upsert': ({ repository }, id) => repository.upsert({ id: `${id}-seed`, note: 'after' }, ['id']),
  '@InjectRepository: update': ({ repository }, id) => repository.update({ id: `${id}-seed` }, { note: 'after' }),
  '@InjectRepository: increment': ({ repository }, id) => repository.increment({ id: `${id}-seed` }, 'count', 1),
  '@InjectRepository: delete': ({ repository }, id) => repository.delete({ id: `${id}-seed` }),
  '@InjectRepository: remove': async ({ repository }, id) =>
    repository.remove(await repository.findOneByOrFail({ id: `${id}-seed` })),
  '@InjectRepository: softDelete': ({ repository }, id) => repository.softDelete({ id: `${id}-seed` }),
  '@InjectRepository: restore': async ({ repository }, id) => {
    await repository.softDelete({ id: `${id}-seed` });
    await repository.restore({ id: `${id}-seed` });
    await repository.update({ id: `${id}-seed` }, { note: 'after' });
  },
  '@InjectRepository: query': ({ repository, dataSource }, id) =>
    repository.query(`INSERT INTO ${table(dataSource)} (id) VALUES ($1)`, [`${id}-new`]),
  'a tree repository': async ({ tree }, id) => {
    const parent = await tree.save({ name: `${id}-parent` });
    await tree.save({ name: `${id}-child`, parent });
    expect(await tree.countDescendants(parent)).toBe(2);
  },
  'a tree repository made inside': ({ dataSource }, id) =>
    dataSource.manager.getTreeRepository(Branch).save({ name: `${id}-parent` }),
  'an entity that saves itself': (_, id) => Written.create({ id: `${id}-new` }).save(),
  'a custom repository by extend': ({ repository }, id) =>
    repository.extend({ add: (name: string) => repository.insert({ id: name }) }).add(`${id}-new`),
  'a custom repository by extend, on itself': ({ repository }, id) =>
    repository
      .extend({
        add(this: Repository<Written>, name: string) {
          return this.insert({ id: name });
        },
      })
      .add(`${id}-new`),
  'a custom repository as a class': ({ custom }, id) => custom.add(`${id}-new`),
  'withRepository in a nested transaction': ({ custom, dataSource }, id) =>
    dataSource.transaction((manager) => manager.withRepository(custom).add(`${id}-new`)),
  '@InjectEntityManager: save': ({ manager }, id) => manager.save(Written, { id: `${id}-new` }),
  '@InjectEntityManager: insert': ({ manager }, id) => manager.insert(Written, { id: `${id}-new` }),
  '@InjectEntityManager: getRepository': ({ manager }, id) => manager.getRepository(Written).delete(`${id}-seed`),
  '@InjectEntityManager: query': ({ manager, dataSource }, id) =>
    manager.query(`DELETE FROM ${table(dataSource)} WHERE id = $1`, [`${id}-seed`]),
  '@InjectEntityManager: transaction': ({ manager }, id) =>
    manager.transaction((inner) => inner.insert(Written, { id: `${id}-new` })),
  '@InjectDataSource: manager': ({ dataSource }, id) => dataSource.manager.save(Written, { id: `${id}-new` }),
  '@InjectDataSource: getRepository': ({ dataSource }, id) =>
    dataSource.getRepository(Written).insert({ id: `${id}-new` }),
  '@InjectDataSource: query': ({ dataSource }, id) =>
    dataSource.query(`UPDATE ${table(dataSource)} SET note = 'after' WHERE id = $1`, [`${id}-seed`]),
  '@InjectDataSource: createEntityManager': ({ dataSource }, id) =>
    dataSource.createEntityManager().insert(Written, { id: `${id}-new` }),
  'a query builder: insert': ({ repository }, id) =>
    repository
      .createQueryBuilder()
      .insert()
      .values({ id: `${id}-new` })
      .execute(),
  'a query builder: update': ({ dataSource }, id) =>
    dataSource
      .createQueryBuilder()
      .update(Written)
      .set({ note: 'after' })
      .where({ id: `${id}-seed` })
      .execute(),
  'a query builder: delete': ({ manager }, id) =>
    manager
      .createQueryBuilder()
      .delete()
      .from(Written)
      .where({ id: `${id}-seed` })
      .execute(),
  'a query builder: soft delete': ({ repository }, id) =>
    repository
      .createQueryBuilder()
      .softDelete()
      .where({ id: `${id}-seed` })
      .execute(),
  'a query builder: select sees what was written, and locks it': async ({ repository }, id) => {
    await repository.insert({ id: `${id}-new` });
    const found = await repository
      .createQueryBuilder('written')
      .setLock('pessimistic_write')
      .where('written.id = :id', { id: `${id}-new` })
      .getMany();
    expect(found).toHaveLength(1);
  },
  'an entity subscriber': ({ repository }, id) => repository.insert({ id: `${id}-new`, note: 'subscribed' }),
  'a query runner made by hand': async ({ dataSource }, id) => {
    const runner = dataSource.createQueryRunner();
    try {
      await runner.connect();
      await runner.query(`INSERT INTO ${table(dataSource)} (id) VALUES ($1)`, [`${id}-new`]);
      await runner.manager.insert(Written, { id: `${id}-newer` });
    } finally {
      await runner.release();
    }
  },
  'a query runner made by hand, with a transaction': async ({ dataSource }, id) => {
    const runner = dataSource.createQueryRunner();
    await runner.startTransaction();
    await runner.manager.insert(Written, { id: `${id}-new` });
    await runner.commitTransaction();
    await runner.release();
  },
  'nested transactions': ({ dataSource }, id) =>
    dataSource.transaction(async (outer) => {
      await outer.insert(Written, { id: `${id}-outer` });
      await outer.transaction((inner) => inner.insert(Written, { id: `${id}-inner` }));
    }),
  'a nested transaction beside one that fails': async ({ dataSource }, id) => {
    const failed = dataSource.transaction(async (inner) => {
      await inner.insert(Written, { id: `${id}-undone` });
      throw new Error('only this one');
    });
    await expect(failed).rejects.toThrow('only this one');
    await dataSource.transaction((inner) => inner.insert(Written, { id: `${id}-new` }));
  },
  'savepoints in parallel': ({ dataSource, repository }, id) =>
    Promise.all([
      ...[1, 2, 3, 4].map((n) =>
        dataSource.transaction(async (inner) => {
          await inner.insert(Written, { id: `${id}-nested-${n}` });
          await repository.insert({ id: `${id}-beside-${n}` });
        }),
      ),
      repository.insert({ id: `${id}-plain` }),
    ]),
  'statements in parallel': ({ repository }, id) =>
    Promise.all([1, 2, 3, 4, 5].map((n) => repository.insert({ id: `${id}-${n}` }))),
  'a stream that is read to its end': async ({ repository }, id) => {
    await repository.insert([{ id: `${id}-a` }, { id: `${id}-b` }]);
    const stream = await repository
      .createQueryBuilder('written')
      .where('written.id IN (:...ids)', { ids: [`${id}-a`, `${id}-b`] })
      .stream();
    const ids: string[] = [];
    for await (const row of stream as AsyncIterable<{ written_id: string }>) ids.push(row.written_id);
    await repository.insert(ids.map((each) => ({ id: `${each}-read` })));
  },
  'a stream of a query runner that is left half read': async ({ dataSource, repository }, id) => {
    const runner = dataSource.createQueryRunner();
    const stream = await runner.stream('SELECT n FROM generate_series(1, 100000) AS n');
    for await (const _ of stream as AsyncIterable<unknown>) break;
    await runner.release();
    await repository.insert({ id: `${id}-new` });
  },
};

/** Beside the handler's transaction. */
const outside =
  (undone: boolean): Write =>
  async ({ dataSource, repository }, id) => {
    const own = outsideTransaction(dataSource, () =>
      dataSource.transaction(async (manager) => {
        await manager.insert(Written, { id: `${id}-outside` });
        // As ever in TypeORM: a plain repository is outside of it.
        expect(await repository.countBy({ id: `${id}-outside` })).toBe(0);
        if (undone) throw new Error('undone');
      }),
    );
    await own.catch(() => undefined);
    await repository.insert({ id: `${id}-inside` });
  };
export const OUTSIDE_PATHS: Record<string, Write> = {
  outside: outside(false),
  'outside, and undone there': outside(true),
};

const table = ({ options }: DataSource): string => `${(options as { schema: string }).schema}.written`;

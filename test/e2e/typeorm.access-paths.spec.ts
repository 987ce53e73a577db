import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import { EventsModule, OnEvent } from '../../lib/index.js';
import { typeormIdempotency } from '../../lib/typeorm.js';
import { Access, OUTSIDE_PATHS, PATHS, type Write } from '../support/access-paths.js';
import { withBroker } from '../support/brokers.js';
import { eventually, Gate } from '../support/eventually.js';
import { TestApp, QUICK } from '../support/nest-app.js';
import { RecordingLogger } from '../support/recording-logger.js';
import { TypeormWorld } from '../support/typeorm-world.js';
import { Branch, Written, WrittenRepository, WrittenSubscriber } from '../support/written.entities.js';

interface Taken {
  readonly path: string;
  readonly id: string;
  readonly fails: boolean;
}

@Injectable()
class Handlers {
  constructor(private readonly access: Access) {}

  @OnEvent('paths.path.taken', { id: 'paths', retry: { attempts: 1 } })
  async take({ path, id, fails }: Taken): Promise<void> {
    await ({ ...PATHS, ...OUTSIDE_PATHS }[path] as Write)(this.access, id);
    if (fails) throw new Error('failed after it had written');
  }
}

withBroker('postgres', 'DATABASE_URL', (url) => {
  describe('a handler’s transaction has everything that is written', () => {
    let world: TypeormWorld;
    let app: TestApp;
    let last = 0;

    beforeAll(async () => {
      world = await TypeormWorld.open(url);
      app = await startWith(url, world);
    });
    afterAll(async () => {
      await app.close();
      await world.close();
    });

    /** What is committed of it. */
    const rowsOf = async (id: string): Promise<unknown[]> => [
      ...(await world.rows(
        `SELECT id, note, count, "deletedAt" IS NOT NULL AS deleted FROM ${world.schema}.written WHERE id LIKE $1 ORDER BY id`,
        [`${id}-%`],
      )),
      ...(await world.rows(`SELECT name FROM ${world.schema}.branch WHERE name LIKE $1 ORDER BY name`, [`${id}-%`])),
    ];
    const seeded = async (): Promise<{ id: string; before: unknown[] }> => {
      const id = `p${++last}`;
      await world.rows(`INSERT INTO ${world.schema}.written (id, note) VALUES ($1, 'before')`, [`${id}-seed`]);
      return { id, before: await rowsOf(id) };
    };
    const take = async (event: Taken): Promise<void> => {
      await app.bus.publish('paths.path.taken', event, { id: event.id });
      const ended = event.fails ? 'dead-lettered' : 'handled';
      const [end] = await eventually(() => {
        const ends = app.activities.filter((each) => 'id' in each && each.id === event.id && each.type !== 'published');
        return ends.length > 0 && ends;
      });
      expect(end).toMatchObject({
        type: ended,
        ...(event.fails ? { error: { message: expect.stringContaining('after it had') as unknown } } : {}),
      });
    };

    test.each(Object.keys(PATHS))(
      '%s: a handler that throws leaves nothing, one that succeeds leaves all',
      async (path) => {
        const failing = await seeded();
        await take({ path, id: failing.id, fails: true });
        expect(await rowsOf(failing.id)).toEqual(failing.before);
        const succeeding = await seeded();
        await take({ path, id: succeeding.id, fails: false });
        expect(await rowsOf(succeeding.id)).not.toEqual(succeeding.before);
      },
    );

    describe('and nothing else', () => {
      const source = (): DataSource => app.module.get<DataSource>(getDataSourceToken());
      const names = async (id: string): Promise<unknown[]> =>
        (
          await world.rows<{ id: string }>(`SELECT id FROM ${world.schema}.written WHERE id LIKE $1 ORDER BY id`, [
            `${id}-%`,
          ])
        ).map((row) => row.id);

      test.each([
        ['commits, though the handler beside it fails', true],
        ['is undone, though the handler beside it succeeds', false],
      ])('a transaction that other code has open meanwhile %s', async (_, fails) => {
        const { id } = await seeded();
        const [open, gate] = [new Gate(), new Gate()];
        const own = source().transaction(async (manager) => {
          await manager.insert(Written, { id: `${id}-own` });
          open.open();
          await gate.passed;
          if (!fails) throw new Error('undone');
        });
        await open.passed;
        await take({ path: '@InjectRepository: insert', id, fails });
        gate.open();
        await own.catch(() => undefined);
        expect(await names(id)).toEqual(fails ? [`${id}-own`, `${id}-seed`] : [`${id}-new`, `${id}-seed`]);
      });

      test.each([
        ['is committed by itself, though the handler fails', true],
        ['is undone by itself, though the handler succeeds', false],
      ])('a transaction inside outsideTransaction() %s', async (_, fails) => {
        const { id } = await seeded();
        await take({ path: fails ? 'outside' : 'outside, and undone there', id, fails });
        expect(await names(id)).toEqual(fails ? [`${id}-outside`, `${id}-seed`] : [`${id}-inside`, `${id}-seed`]);
      });
    });
  });
});

async function startWith(url: string, world: TypeormWorld): Promise<TestApp> {
  const logger = new RecordingLogger();
  const module = await Test.createTestingModule({
    imports: [
      TypeOrmModule.forRoot({
        type: 'postgres',
        url,
        schema: world.schema,
        entities: [Written, Branch],
        subscribers: [WrittenSubscriber],
        synchronize: true,
      }),
      TypeOrmModule.forFeature([Written, Branch]),
      EventsModule.forRoot({ ...QUICK, idempotency: typeormIdempotency({ schema: world.schema }) }),
    ],
    providers: [
      Handlers,
      Access,
      {
        provide: WrittenRepository,
        inject: [DataSource],
        useFactory: (dataSource: DataSource) => new WrittenRepository(Written, dataSource.manager),
      },
    ],
  })
    .setLogger(logger)
    .compile();
  const app = new TestApp(module, logger);
  await module.init();
  return app;
}

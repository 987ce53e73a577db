import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { EventBus, memory, OnEvent } from '../../lib/index.js';
import { schemaStatus, migrateSchema } from '../../lib/typeorm/schema.js';
import { deadLetterStoreContract } from '../../lib/testing.js';
import {
  typeormAttempts,
  typeormDeadLetters,
  typeormIdempotency,
  typeormOutbox,
  type TypeormIdempotencyOptions,
} from '../../lib/typeorm.js';
import { systemClock } from '../../lib/core/clock.js';
import type { StoreEnvironment } from '../../lib/core/store.js';
import { withBroker } from '../support/brokers.js';
import { createDatabase, type TestDatabase } from '../support/databases.js';
import { eventually } from '../support/eventually.js';
import { useApps } from '../support/nest-app.js';
import { RecordingLogger } from '../support/recording-logger.js';
import { uniqueWord } from '../support/unique.js';

const [AS_ADMINISTRATOR, AS_OWNER] = [...readFileSync('docs/guide.md', 'utf8').matchAll(/^```sql\n([^]*?)^```/gm)].map(
  (match) => match[1] as string,
) as [string, string];

@Injectable()
class Orders {
  constructor(
    private readonly bus: EventBus,
    private readonly dataSource: DataSource,
  ) {}

  @OnEvent('orders.order.placed', { id: 'place' })
  async place(): Promise<void> {
    await this.dataSource.query('INSERT INTO shop.effects DEFAULT VALUES');
    await this.bus.publish('orders.order.confirmed', null, { key: 'k' });
  }

  @OnEvent('orders.order.confirmed', { id: 'confirm' })
  async confirm(): Promise<void> {
    await this.dataSource.query('INSERT INTO shop.effects DEFAULT VALUES');
  }
}

withBroker('postgres', 'DATABASE_URL', (url) => {
  describe('an application whose database user has only the rights that the guide names', () => {
    const startApp = useApps();
    const environment = process.env['NODE_ENV'];
    let database: TestDatabase;
    let names: { owner: string; app: string };
    let dataSource: DataSource | undefined;

    /** The guide's SQL with roles of this test. */
    const own = (sql: string): string =>
      sql
        .replaceAll('events_owner', names.owner)
        .replaceAll('shop_app', names.app)
        .replaceAll(/'change-me[^']*'/g, `'secret'`);
    const as = async <T>(role: string, work: (client: pg.Client) => Promise<T>): Promise<T> => {
      const address = new URL(database.url);
      address.username = role;
      address.password = 'secret';
      const client = new pg.Client({ connectionString: address.href });
      await client.connect();
      try {
        return await work(client);
      } finally {
        await client.end();
      }
    };
    const asOwner = (sql: string): Promise<unknown> => as(names.owner, (client) => client.query(sql));
    const migrateAs = (role: string): Promise<unknown> =>
      as(role, (client) =>
        migrateSchema(
          { query: async (sql, parameters) => (await client.query(sql, parameters)).rows as unknown[] },
          'nestjs_events',
          new RecordingLogger(),
        ),
      );

    beforeEach(async () => {
      database = await createDatabase(url, 'privileges');
      const word = uniqueWord('p').replaceAll('-', '_');
      names = { owner: `${word}_owner`, app: `${word}_app` };
      await database.query(own(AS_ADMINISTRATOR));
      await database.query(
        `CREATE SCHEMA shop AUTHORIZATION ${names.app}; CREATE TABLE shop.effects (id serial); ALTER TABLE shop.effects OWNER TO ${names.app}`,
      );
      process.env['NODE_ENV'] = 'production';
    });
    afterEach(async () => {
      process.env['NODE_ENV'] = environment;
      await dataSource?.destroy();
      dataSource = undefined;
      await database.drop();
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      await client.query(`DROP ROLE ${names.app}; DROP ROLE ${names.owner}`);
      await client.end();
    });

    const connect = async (): Promise<void> => {
      const address = new URL(database.url);
      address.username = names.app;
      address.password = 'secret';
      dataSource = await new DataSource({ type: 'postgres', url: address.href }).initialize();
    };
    const start = async (options: TypeormIdempotencyOptions = {}) =>
      startApp({
        options: {
          transports: [memory({ allowMemory: true })],
          idempotency: typeormIdempotency(options),
          outbox: typeormOutbox(),
        },
        providers: [Orders, { provide: DataSource, useValue: dataSource }],
      });
    const storeEnvironment = (): StoreEnvironment => ({
      clock: systemClock,
      logger: new RecordingLogger(),
      report: () => undefined,
      production: true,
      resolve: () => dataSource,
    });
    const prepare = async (): Promise<void> => {
      const stores = [typeormIdempotency(), typeormOutbox(), typeormDeadLetters()].map((definition) =>
        definition.create(storeEnvironment()),
      );
      const attempts = typeormAttempts().create(storeEnvironment());
      try {
        for (const store of [...stores, attempts]) await store.prepare();
      } finally {
        attempts.release();
        for (const store of stores) store.close?.();
      }
    };
    const count = async (sql: string): Promise<number> => {
      const [row] = await database.query<{ count: number }>(`SELECT count(*)::int AS count FROM ${sql}`);
      return row?.count ?? 0;
    };

    test.each([
      ['in one table', {}],
      ['by day', { partitionBy: 'day' as const }],
    ])('starts in production, handles, publishes by the outbox and cleans: remembered %s', async (_, retention) => {
      await migrateAs(names.owner);
      await asOwner(own(AS_OWNER));
      const [rights] = await database.query<{ create: boolean }>(
        `SELECT has_database_privilege('${names.app}', current_database(), 'CREATE')
           OR has_schema_privilege('${names.app}', 'nestjs_events', 'CREATE') AS "create"`,
      );
      expect(rights).toEqual({ create: false });
      await database.query(
        `INSERT INTO nestjs_events.processed_events SELECT 'shop.place', 'old-' || n, now() - interval '8 days' FROM generate_series(1, 9) AS n`,
      );
      if ('partitionBy' in retention) {
        await database.query(
          `CREATE TABLE nestjs_events.processed_events_20200101 PARTITION OF nestjs_events.processed_events_by_day
             FOR VALUES FROM ('2020-01-01 00:00:00+00') TO ('2020-01-02 00:00:00+00');
           ALTER TABLE nestjs_events.processed_events_20200101 OWNER TO ${names.owner}`,
        );
      }
      await connect();
      const app = await start({ retention: { everyMs: 50, ...retention } });
      for (const id of ['1', '2', '1']) await app.bus.publish('orders.order.placed', null, { id });
      await app.saw('duplicate');
      await eventually(async () => (await count('shop.effects')) === 4);
      await eventually(async () => (await count('nestjs_events.outbox')) === 0);
      const [cleaned] = await app.saw('cleaned');
      expect(cleaned).toMatchObject({ rows: 9, days: 'partitionBy' in retention ? 1 : 0 });
      expect([app.logger.messages('error'), app.of('dead-lettered')]).toEqual([[], []]);
    });

    test('redrives, edits, discards and parks dead letters', async () => {
      await migrateAs(names.owner);
      await asOwner(own(AS_OWNER));
      await connect();
      const store = typeormDeadLetters().create(storeEnvironment());
      await store.prepare();
      const everything = [
        'a redrive tells how far it is, and what became of each',
        'an abort leaves what has not begun waiting, and what runs comes to its end',
        'what is given back is handed out again at once; of others nothing is',
        'an edited one holds the key until it is redriven',
        'discarding the first lets the rest go on, in a redrive of who discarded it',
      ];
      const cases = deadLetterStoreContract(() => ({ store, another: () => store }));
      const run = cases.filter(({ name }) => everything.includes(name));
      expect(run).toHaveLength(everything.length);
      for (const each of run) {
        await each.run();
        await database.query(
          'TRUNCATE nestjs_events.dead_letters, nestjs_events.dead_letter_actions, nestjs_events.redrives, nestjs_events.parked_keys',
        );
      }
      store.close?.();
    });

    test('the default privileges of the guide cover what migrations add later', async () => {
      const defaults = AS_OWNER.split('\n').filter((line) => /^(ALTER DEFAULT|GRANT USAGE)/.test(line));
      expect(defaults).toHaveLength(3);
      await asOwner(own(defaults.join('\n')));
      await migrateAs(names.owner);
      await connect();
      await prepare();
    });

    test.each([
      ['USAGE ON SCHEMA nestjs_events'],
      ['SELECT ON nestjs_events.schema_migrations'],
      ['DELETE ON nestjs_events.processed_events'],
      ['INSERT ON nestjs_events.processed_events_by_day'],
      ['UPDATE ON nestjs_events.retention'],
      ['EXECUTE ON FUNCTION nestjs_events.drop_processed_events_day'],
      ['SELECT, DELETE ON nestjs_events.outbox'],
      ['UPDATE ON nestjs_events.dead_letters'],
      ['INSERT ON nestjs_events.redrives'],
      ['SELECT, INSERT ON nestjs_events.dead_letter_actions'],
      ['DELETE ON nestjs_events.parked_keys'],
      ['UPDATE ON nestjs_events.processes'],
      ['DELETE ON nestjs_events.delivery_attempts'],
    ])('without %s the start says which GRANT is missing, and after that one it starts', async (right) => {
      await migrateAs(names.owner);
      await asOwner(own(AS_OWNER));
      await asOwner(`REVOKE ${right} FROM ${names.app}`);
      await connect();
      const error = await prepare().catch((thrown: unknown) => thrown as Error);
      expect(error).toMatchObject({ code: 'EVENTS_PRIVILEGE_MISSING' });
      const grants = [...(error as Error).message.matchAll(/GRANT [^;]*;/g)].map(([statement]) => statement);
      expect(grants).toHaveLength(1);
      expect(grants[0]).toContain(names.app);
      await asOwner(grants.join('\n'));
      await prepare();
    });

    test('who may not migrate is told which right that needs', async () => {
      await database.query('DROP SCHEMA nestjs_events');
      await expect(migrateAs(names.app)).rejects.toMatchObject({
        code: 'EVENTS_PRIVILEGE_MISSING',
        message: expect.stringContaining('GRANT CREATE ON DATABASE') as unknown,
      });
      await database.query(`CREATE SCHEMA nestjs_events AUTHORIZATION ${names.owner}`);
      await expect(migrateAs(names.app)).rejects.toMatchObject({
        code: 'EVENTS_PRIVILEGE_MISSING',
        message: expect.stringContaining(`GRANT ${names.owner} TO ${names.app}`) as unknown,
      });
      await migrateAs(names.owner);
      const status = await as(names.owner, (client) =>
        schemaStatus(
          { query: async (sql, parameters) => (await client.query(sql, parameters)).rows as unknown[] },
          'nestjs_events',
        ),
      );
      expect(status.missing).toEqual([]);
    });
  });
});

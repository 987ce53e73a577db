import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { DataSource } from 'typeorm';
import type { IdempotencyKey } from '../../lib/idempotency/idempotency-store.js';
import { bookkeeping, MIGRATIONS, migrationLock, migrationsSql } from '../../lib/typeorm/migrations.js';
import { ensureSchema, migrateSchema, schemaStatus } from '../../lib/typeorm/schema.js';
import { typeormIdempotency } from '../../lib/typeorm.js';
import { eventually } from '../support/eventually.js';
import { TypeormWorld } from '../support/typeorm-world.js';
import { withBroker } from '../support/brokers.js';

withBroker('postgres', 'DATABASE_URL', (url) => {
  describe('the schema', () => {
    let world: TypeormWorld;
    let schema: string;

    /** On one connection of its own. */
    const ensure = async (dataSource: DataSource, migrate: boolean): Promise<void> => {
      const runner = dataSource.createQueryRunner();
      try {
        await ensureSchema(runner, { schema, migrate, use: 'idempotency', logger: world.logger });
      } finally {
        await runner.release();
      }
    };

    beforeEach(async () => {
      world = await TypeormWorld.open(url);
      schema = `${world.schema}_events`;
    });
    afterEach(async () => {
      await world.rows(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
      await world.close();
    });

    test('four processes that start at the same time apply it once', async () => {
      const others = await Promise.all([world.connect(), world.connect(), world.connect()]);
      const { logger } = world;
      await Promise.all([world.dataSource, ...others].map((each) => ensure(each, true)));
      expect(await world.rows(`SELECT version, name FROM ${schema}.schema_migrations ORDER BY version`)).toEqual(
        MIGRATIONS.map(({ version, name }) => ({ version, name })),
      );
      const applied = logger.messages('log').filter((message) => message.endsWith('applied'));
      expect(applied).toHaveLength(MIGRATIONS.length);
    });

    test('in production a schema that is behind stops the start and says what to do', async () => {
      const store = typeormIdempotency({ schema }).create(world.environment({ production: true }));
      await expect(store.prepare()).rejects.toMatchObject({
        code: 'EVENTS_SCHEMA_BEHIND',
        message: expect.stringMatching(/nestjs-events db migrate.*migrationsSql\(\).*migrate: true/) as unknown,
      });
      const [{ present }] = (await world.rows('SELECT to_regnamespace($1) IS NOT NULL AS present', [schema])) as [
        { present: boolean },
      ];
      expect(present).toBe(false);
    });

    test('the printed SQL brings it up to date, also when run twice', async () => {
      for (const _ of [1, 2]) await world.rows(migrationsSql({ schema }));
      const store = typeormIdempotency({ schema }).create(world.environment({ production: true }));
      await store.prepare();
      store.close?.();
    });

    test('`migrate: true` applies it in production too', async () => {
      const store = typeormIdempotency({ schema, migrate: true }).create(world.environment({ production: true }));
      await store.prepare();
      store.close?.();
    });

    test('a schema of a newer version is no problem', async () => {
      await ensure(world.dataSource, true);
      await world.rows(`INSERT INTO ${schema}.schema_migrations (version, name) VALUES (99, 'later')`);
      await ensure(world.dataSource, false);
    });

    test('the SQL from a version on brings a schema of that version up to date', async () => {
      await applyUpTo(1);
      await world.rows(migrationsSql({ schema, from: 1 }));
      await ensure(world.dataSource, false);
      expect(() => migrationsSql({ schema, from: 99 })).toThrow(
        expect.objectContaining({ code: 'EVENTS_OPTIONS_INVALID' }),
      );
    });

    test('a failing migration leaves the schema as it was', async () => {
      await applyUpTo(1);
      // In the way of migration 4.
      await world.rows(`CREATE VIEW ${schema}.retention AS SELECT 1 AS single`);
      await expect(ensure(world.dataSource, true)).rejects.toThrow();
      const { applied } = await schemaStatus({ query: (sql, values) => world.rows(sql, values) }, schema);
      expect(applied.map(({ version }) => version)).toEqual([1]);
    });

    test('who comes while another process migrates says that it waits, and then finds it done', async () => {
      const [first, second] = [world.dataSource.createQueryRunner(), (await world.connect()).createQueryRunner()];
      await first.query('BEGIN');
      await first.query('SELECT pg_advisory_xact_lock($1::bigint)', [migrationLock(schema)]);
      const waiting = migrateSchema(second, schema, world.logger);
      await eventually(() => world.logger.messages('log').some((message) => message.includes('another process')));
      await first.query('COMMIT');
      expect(await waiting).toHaveLength(MIGRATIONS.length);
      expect(await migrateSchema(first, schema, world.logger)).toEqual([]);
      await Promise.all([first.release(), second.release()]);
    });

    describe('from version 1 to the newest', () => {
      const key: IdempotencyKey = { consumer: 'shop.mail', aliases: [], eventId: 'old' };

      beforeEach(async () => {
        await applyUpTo(1);
        await world.rows(`SELECT ${schema}.remember_event(ARRAY['shop.mail'], 'old')`);
        await enrolAsVersion1('before');
        await ensure(world.dataSource, true);
      });

      test('rows are kept, and count', async () => {
        const store = typeormIdempotency({ schema }).create(world.environment({ production: true }));
        await store.prepare();
        expect(await store.once(key, async () => 'again')).toEqual({ duplicate: true });
        expect(await store.onceAll([key, { ...key, eventId: 'new' }], async (fresh) => fresh)).toMatchObject({
          fresh: [1],
        });
        store.close?.();
        expect(await world.rows(`SELECT id FROM ${schema}.outbox`)).toEqual([{ id: 'before' }]);
      });

      test('instances of version 1 go on beside the new ones', async () => {
        const remembered = (id: string): Promise<unknown[]> =>
          world.rows(`SELECT ${schema}.remember_event(ARRAY['shop.mail'], $1) AS written`, [id]);
        expect(await remembered('next')).toEqual([{ written: 1 }]);
        expect(await remembered('next')).toEqual([{ written: 0 }]);
        await enrolAsVersion1('after');
        const due = await world.rows(
          `SELECT id, attempts, not_before FROM ${schema}.outbox
           WHERE not_before IS NULL OR not_before <= now() ORDER BY position`,
        );
        expect(due).toEqual(['before', 'after'].map((id) => ({ id, attempts: 0, not_before: null })));
      });
    });

    /** As an older release has left it. */
    async function applyUpTo(version: number): Promise<void> {
      await world.rows(`CREATE SCHEMA ${schema}`);
      await world.rows(bookkeeping(schema));
      for (const each of MIGRATIONS.filter((migration) => migration.version <= version)) {
        for (const statement of each.statements(schema)) await world.rows(statement);
        await world.rows(`INSERT INTO ${schema}.schema_migrations (version, name) VALUES ($1, $2)`, [
          each.version,
          each.name,
        ]);
      }
    }

    async function enrolAsVersion1(id: string): Promise<void> {
      await world.rows(
        `INSERT INTO ${schema}.outbox (slot, id, name, key, transport, envelope) VALUES (1, $1, 'a.b.c', 'k', 'memory', '{}')`,
        [id],
      );
    }

    test('a database without a DataSource is named, with the remedy', async () => {
      const { environment } = world;
      const none = environment.call(world, { resolve: () => undefined });
      await expect(typeormIdempotency().create(none).prepare()).rejects.toMatchObject({
        code: 'EVENTS_DATASOURCE_MISSING',
      });
      await expect(typeormIdempotency({ dataSource: 'billing' }).create(none).prepare()).rejects.toThrow(
        'there is no DataSource named "billing"',
      );
      const asked: unknown[] = [];
      const named = environment.call(world, { resolve: (token) => (asked.push(token), world.dataSource) });
      const store = typeormIdempotency({ dataSource: 'billing', schema }).create(named);
      await store.prepare();
      store.close?.();
      expect(asked).toEqual(['billingDataSource']);
    });
  });
});

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { migrationsSql } from '../../lib/typeorm/migrations.js';
import { ensureSchema } from '../../lib/typeorm/schema.js';
import { typeormIdempotency } from '../../lib/typeorm.js';
import { TypeormWorld } from '../support/typeorm-world.js';
import { withBroker } from '../support/brokers.js';

withBroker('postgres', 'DATABASE_URL', (url) => {
  describe('the schema', () => {
    let world: TypeormWorld;
    let schema: string;

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
      await Promise.all(
        [world.dataSource, ...others].map((each) => ensureSchema(each, { schema, migrate: true, logger })),
      );
      expect(await world.rows(`SELECT version, name FROM ${schema}.schema_migrations`)).toEqual([
        { version: 1, name: 'processed-events-and-outbox' },
      ]);
      expect(logger.messages('log')).toHaveLength(1);
    });

    test('in production a schema that is behind stops the start and says what to do', async () => {
      const store = typeormIdempotency({ schema }).create(world.environment({ production: true }));
      await expect(store.prepare()).rejects.toMatchObject({
        code: 'EVENTS_SCHEMA_BEHIND',
        message: expect.stringMatching(/migrationsSql\(\).*migrate: true/) as unknown,
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
      await ensureSchema(world.dataSource, { schema, migrate: true, logger: world.logger });
      await world.rows(`INSERT INTO ${schema}.schema_migrations (version, name) VALUES (99, 'later')`);
      await ensureSchema(world.dataSource, { schema, migrate: false, logger: world.logger });
    });

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

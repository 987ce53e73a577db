import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { MIGRATIONS } from '../../lib/typeorm/migrations.js';
import { withBroker } from '../support/brokers.js';
import { createDatabase, type TestDatabase } from '../support/databases.js';

const PROJECT = fileURLToPath(new URL('../../', import.meta.url));
const PROGRAM = `${PROJECT}dist/lib/cli/main.js`;
const NEWEST = MIGRATIONS.at(-1)?.version ?? 0;

interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** The built command in a process of its own. */
function command(args: readonly string[], env: Record<string, string> = {}): Promise<Result> {
  if (!existsSync(PROGRAM))
    throw new Error('dist/lib is not built. Run "npm run build", or the tests with "npm test".');
  return new Promise((resolve) => {
    const { DATABASE_URL: _, ...rest } = process.env;
    execFile(process.execPath, [PROGRAM, ...args], { env: { ...rest, ...env } }, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    );
  });
}

withBroker('postgres', 'DATABASE_URL', (url) => {
  describe('nestjs-events db', () => {
    let database: TestDatabase;
    let here: Record<string, string>;

    beforeEach(async () => {
      database = await createDatabase(url, 'cli');
      here = { DATABASE_URL: database.url };
    });
    afterEach(() => database.drop());

    const versions = async (schema = 'nestjs_events'): Promise<number[]> => {
      const rows = await database.query<{ version: number }>(
        `SELECT version FROM ${schema}.schema_migrations ORDER BY version`,
      );
      return rows.map(({ version }) => version);
    };

    test('status tells what is missing, migrate applies it, status is content; by its exit codes, too', async () => {
      const before = await command(['db', 'status'], here);
      expect(before).toMatchObject({ code: 1, err: '' });
      expect(before.out).toMatch(/does not exist[^]*1 {2}processed-events-and-outbox +missing[^]*db migrate/);
      const migrated = await command(['db', 'migrate'], here);
      expect(migrated).toMatchObject({ code: 0, err: '' });
      expect(migrated.out).toMatch(/migration 1 \(processed-events-and-outbox\) applied[^]*up to date now/);
      expect(await versions()).toEqual(MIGRATIONS.map(({ version }) => version));
      expect(await command(['db', 'status'], here)).toMatchObject({
        code: 0,
        out: expect.stringContaining('is up to date') as unknown,
      });
      expect(await command(['db', 'migrate'], here)).toMatchObject({
        code: 0,
        out: expect.stringContaining('up to date already') as unknown,
      });
    });

    test('status --json is for programs; a newer version is no harm', async () => {
      await command(['db', 'migrate', '--schema', 'events'], here);
      await database.query(`INSERT INTO events.schema_migrations (version, name) VALUES (99, 'later')`);
      const { code, out } = await command(['db', 'status', '--json', '--schema', 'events'], here);
      expect(code).toBe(0);
      expect(JSON.parse(out)).toMatchObject({
        schema: 'events',
        exists: true,
        upToDate: true,
        latest: NEWEST,
        missing: [],
        applied: expect.arrayContaining([
          {
            version: 1,
            name: 'processed-events-and-outbox',
            appliedAt: expect.stringMatching(/^\d{4}-.*Z$/) as unknown,
          },
        ]) as unknown,
      });
    });

    test('--url comes before DATABASE_URL', async () => {
      const elsewhere = { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' };
      expect(await command(['db', 'migrate', '--url', database.url], elsewhere)).toMatchObject({ code: 0 });
    });

    test('four at the same time take turns: each migration is applied once', async () => {
      const results = await Promise.all([1, 2, 3, 4].map(() => command(['db', 'migrate'], here)));
      expect(results.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
      const applied = results.flatMap(({ out }) => out.split('\n')).filter((line) => line.endsWith('applied'));
      expect(applied).toHaveLength(MIGRATIONS.length);
    });

    test('sql prints what brings a database up to date, from the start or from a version; without a database', async () => {
      const all = await command(['db', 'sql', '--schema', 'events']);
      expect(all).toMatchObject({ code: 0, err: '' });
      await database.query(all.out);
      expect(await command(['db', 'status', '--schema', 'events'], here)).toMatchObject({ code: 0 });
      const rest = await command(['db', 'sql', '--schema', 'events', '--from', '1']);
      expect(rest.out).not.toContain('CREATE TABLE IF NOT EXISTS "events".processed_events (');
      await database.query('DELETE FROM events.schema_migrations WHERE version > 1');
      await database.query(rest.out);
      expect(await versions('events')).toEqual(MIGRATIONS.map(({ version }) => version));
    });

    test.each([
      [
        'no server',
        ['--url', 'postgres://shop:se%40cret@127.0.0.1:1/shop'],
        /"shop" at 127\.0\.0\.1:1.*ECONNREFUSED.*server runs/,
      ],
      ['no url', [], /no database is named.*DATABASE_URL/],
      ['something else than a url', ['--url', 'shop:se@cret@x'], /url of the database cannot be read/],
      ['another kind of url', ['--url', 'mysql://shop:se@cret@x/y'], /url of the database cannot be read/],
      [
        'a bad schema name',
        ['--schema', 'No-Schema', '--url', 'postgres://shop@127.0.0.1:1/shop'],
        /"No-Schema" is not a schema name/,
      ],
      ['an unknown option', ['--shema', 'x'], /unknown option.*--shema/],
    ])('%s: exit code 2, what to do, and no password', async (_, args, message) => {
      for (const name of ['status', 'migrate']) {
        const { code, out, err } = await command(['db', name, ...args]);
        expect([code, out]).toEqual([2, '']);
        expect(err).toMatch(message);
        expect(err).not.toMatch(/se(@|%40)cret/);
      }
    });

    test('a database or a password that is wrong is named as that', async () => {
      const missing = new URL(database.url);
      missing.pathname = '/not_there';
      const wrong = new URL(database.url);
      wrong.password = 'not-my-secret';
      expect((await command(['db', 'status', '--url', missing.href])).err).toMatch(/not_there.*name of the database/);
      const { err } = await command(['db', 'status', '--url', wrong.href]);
      expect(err).toMatch(/user and the password/);
      expect(err).not.toContain('not-my-secret');
    });

    test('a schema that is not there: which there are', async () => {
      await command(['db', 'migrate', '--schema', 'events'], here);
      const { code, out } = await command(['db', 'status', '--schema', 'event'], here);
      expect([code, out]).toEqual([1, expect.stringMatching(/event does not exist[^]*found in: events/) as unknown]);
    });

    test('a user that may not migrate is told the right it needs', async () => {
      const role = `cli_${Date.now()}`;
      await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x'`);
      try {
        const as = new URL(database.url);
        as.username = role;
        as.password = 'x';
        const { code, err } = await command(['db', 'migrate', '--url', as.href]);
        expect([code, err]).toEqual([
          2,
          expect.stringMatching(/GRANT CREATE ON DATABASE cli_\w+ TO cli_\d+/) as unknown,
        ]);
      } finally {
        const client = new pg.Client({ connectionString: url });
        await client.connect();
        await client.query(`DROP ROLE ${role}`);
        await client.end();
      }
    });

    test('is what package.json names, with a shebang', () => {
      const { bin } = JSON.parse(readFileSync(`${PROJECT}package.json`, 'utf8')) as { bin: Record<string, string> };
      expect(`${PROJECT}${bin['nestjs-events']?.slice(2)}`).toBe(PROGRAM);
      expect(readFileSync(PROGRAM, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
    });

    test('help is no error', async () => {
      expect(await command(['--help'])).toMatchObject({ code: 0, err: '' });
      expect((await command(['db', 'migrate', '--help'])).out).toContain('DATABASE_URL');
    });
  });
});

import { describe, expect, test } from '@jest/globals';
import { MIGRATIONS, migrationsSql, quoteSchema } from './migrations.js';

describe('migrations', () => {
  test('are numbered from 1, without gaps', () => {
    expect(MIGRATIONS.map(({ version }) => version)).toEqual(MIGRATIONS.map((_, index) => index + 1));
  });

  test('as SQL are one transaction in the schema asked for', () => {
    const sql = migrationsSql({ schema: 'events' });
    expect(sql).toMatch(/^BEGIN;[^]*COMMIT;\n$/);
    expect(sql).toContain('CREATE TABLE IF NOT EXISTS "events".outbox');
    expect(sql).not.toContain('nestjs_events');
  });

  test.each(['', 'a"b', 'Events', '1a', 'pg_x', 'a b', 'x'.repeat(64)])('%j is no schema name', (name) => {
    expect(() => quoteSchema(name)).toThrow(expect.objectContaining({ code: 'EVENTS_OPTIONS_INVALID' }));
  });
});

import type { Migration } from './migration.js';

/**
 * The state of an entry, so that each poll finds what is due by an index and reads nothing else:
 * `waiting` in its line · `retrying` after a failure, until not_before, and at the head of its line · `held` behind such a
 * head · `delayed` until not_before, in no line · `parked` · `published`, where it is kept.
 */
export const outboxLines: Migration = {
  version: 3,
  name: 'outbox-lines',
  statements: (schema) => [
    `ALTER TABLE ${schema}.outbox
  ADD COLUMN IF NOT EXISTS state text NOT NULL DEFAULT 'waiting',
  ADD COLUMN IF NOT EXISTS parked_at timestamptz,
  ADD COLUMN IF NOT EXISTS published_at timestamptz,
  ADD COLUMN IF NOT EXISTS line bigint GENERATED ALWAYS AS (hashtextextended(key, 0)) STORED`,
    `UPDATE ${schema}.outbox SET state = 'retrying' WHERE attempts > 0 AND not_before IS NOT NULL AND state = 'waiting'`,
    `CREATE INDEX IF NOT EXISTS outbox_waiting ON ${schema}.outbox (transport, slot, position) WHERE state = 'waiting'`,
    `CREATE INDEX IF NOT EXISTS outbox_retrying ON ${schema}.outbox (transport, slot, not_before) WHERE state = 'retrying'`,
    `CREATE INDEX IF NOT EXISTS outbox_delayed ON ${schema}.outbox (transport, slot, not_before) WHERE state = 'delayed'`,
    // By the hash: a key may be longer than an index takes. One head at most for each line, or looking for it could be slow.
    `CREATE INDEX IF NOT EXISTS outbox_heads ON ${schema}.outbox (transport, line)
  WHERE state = 'retrying' AND line IS NOT NULL`,
    `CREATE INDEX IF NOT EXISTS outbox_held ON ${schema}.outbox (transport, line, position) WHERE state = 'held'`,
    `CREATE INDEX IF NOT EXISTS outbox_parked ON ${schema}.outbox (position) WHERE state = 'parked'`,
    `CREATE INDEX IF NOT EXISTS outbox_published ON ${schema}.outbox (published_at) WHERE state = 'published'`,
    `DROP INDEX IF EXISTS ${schema}.outbox_not_before`,
    // All rows come and go: a share of the table, the default, would let too many dead ones pile up after a backlog.
    `ALTER TABLE ${schema}.outbox SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000)`,
  ],
};

import type { Migration } from './migration.js';

export const processedEventsAndOutbox: Migration = {
  version: 1,
  name: 'processed-events-and-outbox',
  statements: (schema) => [
    `CREATE TABLE IF NOT EXISTS ${schema}.processed_events (
  consumer text NOT NULL,
  event_id text NOT NULL,
  processed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (consumer, event_id)
)`,
    `CREATE INDEX IF NOT EXISTS processed_events_processed_at ON ${schema}.processed_events (processed_at)`,
    // Writes an event's id for one consumer under all its names, and says how many rows were new. A function, because its
    // own lock_timeout ends with it: only this wait for another process is bounded, not the handler's own locks.
    `CREATE OR REPLACE FUNCTION ${schema}.remember_event(consumers text[], id text) RETURNS int
LANGUAGE plpgsql SET lock_timeout = '100ms' AS $$
DECLARE written int;
BEGIN
  INSERT INTO ${schema}.processed_events (consumer, event_id)
  SELECT name, id FROM unnest(consumers) AS name
  ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS written = ROW_COUNT;
  RETURN written;
END
$$`,
    // json, not jsonb: jsonb refuses \\u0000 and changes the text.
    `CREATE TABLE IF NOT EXISTS ${schema}.outbox (
  position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  slot smallint NOT NULL,
  id text NOT NULL,
  name text NOT NULL,
  key text,
  transport text NOT NULL,
  envelope json NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  attempts int NOT NULL DEFAULT 0,
  not_before timestamptz,
  last_error text
)`,
    // What waits for its next attempt, and holds back its key: a few rows, found without reading the table.
    `CREATE INDEX IF NOT EXISTS outbox_not_before ON ${schema}.outbox (not_before) WHERE not_before IS NOT NULL`,
  ],
};

import type { Migration } from './migration.js';

export const rememberSeveralEvents: Migration = {
  version: 2,
  name: 'remember-several-events',
  statements: (schema) => [
    // Nearly every delivery: one event, one name. A row by itself costs a tenth less than a list of one.
    `CREATE OR REPLACE FUNCTION ${schema}.remember_one_event(consumer text, id text) RETURNS int
LANGUAGE plpgsql SET lock_timeout = '100ms' AS $$
BEGIN
  INSERT INTO ${schema}.processed_events (consumer, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING;
  RETURN FOUND::int;
END
$$`,
    // Writes the ids of several events for one consumer under all its names, and returns those that were new under all of
    // them. In one order everywhere, so that two batches with the same ids cannot wait for each other.
    `CREATE OR REPLACE FUNCTION ${schema}.remember_events(consumers text[], ids text[]) RETURNS SETOF text
LANGUAGE plpgsql SET lock_timeout = '100ms' AS $$
BEGIN
  RETURN QUERY
  WITH written AS (
    INSERT INTO ${schema}.processed_events (consumer, event_id)
    SELECT name, id FROM unnest(ids) AS id CROSS JOIN unnest(consumers) AS name
    ORDER BY id COLLATE "C", name COLLATE "C"
    ON CONFLICT DO NOTHING
    RETURNING event_id
  )
  SELECT written.event_id FROM written GROUP BY written.event_id HAVING count(*) = cardinality(consumers);
END
$$`,
  ],
};

import { lockNumber } from '../advisory-lock.js';
import type { Migration } from './migration.js';

/**
 * Remembering by day: partitions that are dropped whole instead of rows that are deleted.
 *
 * A unique index cannot span partitions, so what holds a second delivery off is a lock on (consumer, id), taken before
 * the look into all partitions. That look has to see what was committed while the lock was waited for: READ COMMITTED.
 * `processed_events` is looked into as well, for rows from before the change; and it is written to on the first day,
 * for instances that do not know of the days yet, and whenever the partition of a day is missing.
 */
export const retention: Migration = {
  version: 4,
  name: 'retention',
  statements: (schema) => [
    // One row: who deletes what is old, and since when events are remembered by day (null: not, or not any more).
    `CREATE TABLE IF NOT EXISTS ${schema}.retention (
  single boolean PRIMARY KEY DEFAULT true CHECK (single),
  cleaner text,
  cleaner_until timestamptz,
  by_day_since timestamptz
)`,
    `INSERT INTO ${schema}.retention DEFAULT VALUES ON CONFLICT DO NOTHING`,
    // No default partition: attaching another day would have to lock it against every handler.
    `CREATE TABLE IF NOT EXISTS ${schema}.processed_events_by_day (
  consumer text NOT NULL,
  event_id text NOT NULL,
  processed_at timestamptz NOT NULL DEFAULT now()
) PARTITION BY RANGE (processed_at)`,
    rememberAt(schema),
    `CREATE OR REPLACE FUNCTION ${schema}.remember_events_by_day(consumers text[], ids text[]) RETURNS SETOF text
LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY SELECT ${schema}.remember_events_at(consumers, ids, now());
END
$$`,
    `CREATE OR REPLACE FUNCTION ${schema}.remember_event_by_day(consumers text[], id text) RETURNS int
LANGUAGE plpgsql AS $$
BEGIN
  RETURN cardinality(consumers) * (SELECT count(*) FROM ${schema}.remember_events_at(consumers, ARRAY[id], now()));
END
$$`,
    addDays(schema),
    dropDay(schema),
    // They run as the owner of the tables: nobody else needs the right to create or drop them.
    `REVOKE ALL ON FUNCTION ${schema}.add_processed_events_days(int) FROM PUBLIC`,
    `REVOKE ALL ON FUNCTION ${schema}.drop_processed_events_day(int) FROM PUBLIC`,
  ],
};

/** Days are those of UTC. The LATERAL … LIMIT 1 keep each look an index probe, however few rows a new day seems to have. */
function rememberAt(schema: string): string {
  return `CREATE OR REPLACE FUNCTION ${schema}.remember_events_at(consumers text[], ids text[], at timestamptz)
RETURNS SETOF text
LANGUAGE plpgsql SET lock_timeout = '100ms' SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  since timestamptz;
  lock bigint;
  names text[];
  news text[];
  has_day boolean := to_regclass('${schema}.processed_events_' || to_char(at AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NOT NULL;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE feature_not_supported USING MESSAGE = 'remembering events by day needs READ COMMITTED';
  END IF;
  FOR lock IN
    SELECT DISTINCT hashtextextended(name || chr(31) || id, ${lockNumber('processed-event', schema)})
    FROM unnest(consumers) AS name CROSS JOIN unnest(ids) AS id ORDER BY 1
  LOOP
    PERFORM pg_advisory_xact_lock(lock);
  END LOOP;

  SELECT by_day_since INTO since FROM ${schema}.retention;
  SELECT array_agg(asked.name), array_agg(asked.id) INTO names, news
  FROM (SELECT DISTINCT name, id FROM unnest(consumers) AS name CROSS JOIN unnest(ids) AS id) AS asked
  LEFT JOIN LATERAL (
    SELECT true AS found FROM ${schema}.processed_events_by_day AS known
    WHERE known.consumer = asked.name AND known.event_id = asked.id LIMIT 1
  ) AS by_day ON true
  LEFT JOIN LATERAL (
    SELECT true AS found FROM ${schema}.processed_events AS known
    WHERE known.consumer = asked.name AND known.event_id = asked.id LIMIT 1
  ) AS before ON true
  WHERE by_day.found IS NULL AND before.found IS NULL;

  IF since IS NULL OR NOT has_day OR since > now() - interval '1 day' THEN
    WITH written AS (
      INSERT INTO ${schema}.processed_events (consumer, event_id, processed_at)
      SELECT name, id, at FROM unnest(names, news) AS new (name, id)
      ORDER BY id COLLATE "C", name COLLATE "C"
      ON CONFLICT DO NOTHING
      RETURNING consumer, event_id
    )
    SELECT array_agg(consumer), array_agg(event_id) INTO names, news FROM written;
  END IF;
  IF since IS NOT NULL AND has_day THEN
    WITH written AS (
      INSERT INTO ${schema}.processed_events_by_day (consumer, event_id, processed_at)
      SELECT name, id, at FROM unnest(names, news) AS new (name, id)
      ON CONFLICT DO NOTHING
      RETURNING consumer, event_id
    )
    SELECT array_agg(consumer), array_agg(event_id) INTO names, news FROM written;
  END IF;
  RETURN QUERY SELECT new FROM unnest(news) AS new GROUP BY new HAVING count(*) = cardinality(consumers);
END
$$`;
}

/** Attaching takes no lock that handlers wait for. */
function addDays(schema: string): string {
  return `CREATE OR REPLACE FUNCTION ${schema}.add_processed_events_days(ahead int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
  day date;
  partition text;
  added int := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(${lockNumber('processed-events-days', schema)});
  FOR day IN SELECT (now() AT TIME ZONE 'UTC')::date + number FROM generate_series(0, least(ahead, 30)) AS number LOOP
    partition := '${schema}.processed_events_' || to_char(day, 'YYYYMMDD');
    CONTINUE WHEN to_regclass(partition) IS NOT NULL;
    EXECUTE format('CREATE TABLE %s (LIKE ${schema}.processed_events_by_day INCLUDING DEFAULTS, PRIMARY KEY (consumer, event_id))', partition);
    EXECUTE format('ALTER TABLE ${schema}.processed_events_by_day ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
      partition, day || ' 00:00:00+00', (day + 1) || ' 00:00:00+00');
    added := added + 1;
  END LOOP;
  RETURN added;
END
$$`;
}

/** Dropping locks all days for a moment, and handlers wait while it waits: it gives up soon, to be tried again. */
function dropDay(schema: string): string {
  return `CREATE OR REPLACE FUNCTION ${schema}.drop_processed_events_day(keep_days int) RETURNS date
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $$
DECLARE
  partition regclass;
  day date;
BEGIN
  SELECT child.oid, of_day INTO partition, day
  FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid,
    to_date(substring(child.relname FROM '^processed_events_([0-9]{8})$'), 'YYYYMMDD') AS of_day
  WHERE inhparent = '${schema}.processed_events_by_day'::regclass
    AND of_day < (now() AT TIME ZONE 'UTC')::date - greatest(keep_days, 1)
  ORDER BY of_day LIMIT 1;
  IF partition IS NOT NULL THEN EXECUTE format('DROP TABLE %s', partition); END IF;
  RETURN day;
END
$$`;
}

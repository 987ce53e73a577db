import type { Migration } from './migration.js';

/**
 * Which processes run, and what they are trying that may end them. A row of `processes` goes when its process ends as it
 * should; `lost_at` says when somebody found that it had ended without that.
 */
export const deliveryAttempts: Migration = {
  version: 6,
  name: 'delivery-attempts',
  statements: (schema) => [
    // origin: when the operating system's process began, which tells it from a later one with the same pid.
    `CREATE TABLE IF NOT EXISTS ${schema}.processes (
  id uuid PRIMARY KEY,
  service text NOT NULL,
  host text NOT NULL,
  pid int NOT NULL,
  origin bigint NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  seen_at timestamptz NOT NULL DEFAULT now(),
  lost_at timestamptz
)`,
    `CREATE INDEX IF NOT EXISTS processes_service ON ${schema}.processes (service)`,
    `CREATE TABLE IF NOT EXISTS ${schema}.delivery_attempts (
  consumer text NOT NULL,
  delivery uuid NOT NULL,
  process uuid NOT NULL,
  begun_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (consumer, delivery, process)
)`,
    `CREATE INDEX IF NOT EXISTS delivery_attempts_process ON ${schema}.delivery_attempts (process)`,
  ],
};

/** What all contestants write for an event: its id, and one row as the effect. n.b. on the very tables that ours makes. */

export const CONSUMER = 'bench.handler';

/**
 * @param {string} schema
 * @returns {Record<'remember' | 'rememberMany' | 'effect' | 'effects', string>}
 */
export function effectsSql(schema) {
  return {
    remember: `INSERT INTO ${schema}.processed_events (consumer, event_id) VALUES ($1, $2)
      ON CONFLICT DO NOTHING RETURNING event_id`,
    rememberMany: `INSERT INTO ${schema}.processed_events (consumer, event_id) SELECT $1, unnest($2::text[])
      ON CONFLICT DO NOTHING RETURNING event_id`,
    effect: `INSERT INTO ${schema}.effects (id, account, note) VALUES ($1, $2, $3)`,
    effects: `INSERT INTO ${schema}.effects (id, account, note)
      SELECT * FROM unnest($1::bigint[], $2::int[], $3::text[])`,
  };
}

/** @typedef {import('../harness/types.mjs').EventData} EventData */

/** @param {EventData} data */
export function effectOf({ sequence, user, filler }) {
  return [sequence, user, filler];
}

/** @param {readonly EventData[]} all */
export function effectsOf(all) {
  return [all.map(({ sequence }) => sequence), all.map(({ user }) => user), all.map(({ filler }) => filler)];
}

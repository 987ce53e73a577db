/** TypeORM as its documentation shows it: `dataSource.transaction` and raw queries. Option: `connections`. */
import { openDataSource } from './data-source.mjs';
import { CONSUMER, effectOf, effectsSql } from './effects-sql.mjs';
import { eventWorkers } from './event-workers.mjs';

/**
 * @param {import('../harness/types.mjs').OpenRequest} request
 * @returns {Promise<import('../harness/types.mjs').Session>}
 */
export async function open({ target, options, handle }) {
  const sql = effectsSql(target.name);
  const dataSource = await openDataSource(target);
  const once = async (/** @type {import('../harness/types.mjs').EventData} */ data) =>
    dataSource.transaction(async (manager) => {
      const rows = await manager.query(sql.remember, [CONSUMER, String(data.sequence)]);
      if (rows.length === 0) return;
      await manager.query(sql.effect, effectOf(data));
      await handle?.(data);
    });
  const worker = async (/** @type {import('../harness/types.mjs').EventData[]} */ events) => {
    for (const data of events) await once(data);
  };
  const workers = Array.from({ length: Number(options.connections ?? 10) }, () => ({ handle: worker }));
  const { publishMany, idle } = eventWorkers(workers, 1);
  return {
    publish: (event) => publishMany([event]),
    publishMany,
    close: async () => {
      await idle();
      await dataSource.destroy();
    },
  };
}

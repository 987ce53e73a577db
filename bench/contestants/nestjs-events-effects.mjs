/**
 * nestjs-events with `typeormIdempotency()`. Options: `concurrency`; `effect` is `query` (one INSERT through the
 * DataSource, the default) or `insert` (of a repository); `retention`.
 */
import { OnEvent } from 'nestjs-events';
import { Effect } from './data-source.mjs';
import { effectOf, effectsSql } from './effects-sql.mjs';
import { handlerClass, handlerOptions } from './nestjs-events-app.mjs';
import { openEffects } from './nestjs-events-database.mjs';

/** @typedef {import('../harness/types.mjs').EventData} EventData */

/** @param {import('../harness/types.mjs').OpenRequest} request */
export function open(request) {
  const { target, options, handle } = request;
  const { effect } = effectsSql(target.name);
  return openEffects(request, (dataSource) => {
    const effects = dataSource.getRepository(Effect);
    const query = (/** @type {EventData} */ data) => dataSource.query(effect, effectOf(data));
    const insert = (/** @type {EventData} */ { sequence, user, filler }) =>
      effects.insert({ id: sequence, account: user, note: filler });
    const write = options.effect === 'insert' ? insert : query;
    const handler = async (/** @type {EventData} */ data) => {
      await write(data);
      await handle?.(data);
    };
    return handlerClass(handler, [OnEvent(target.event, handlerOptions(options))]);
  });
}

/**
 * Makes the tables.
 * @param {import('../harness/types.mjs').OpenRequest} request
 */
export async function declare(request) {
  const session = await open(request);
  await session.close();
}

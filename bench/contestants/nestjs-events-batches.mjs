/** nestjs-events with `typeormIdempotency()` and a batch handler. Options: `concurrency`, and `batch`, its size. */
import { OnEvents } from 'nestjs-events';
import { effectsOf, effectsSql } from './effects-sql.mjs';
import { handlerClass, handlerOptions } from './nestjs-events-app.mjs';
import { openEffects } from './nestjs-events-database.mjs';

/** @typedef {import('nestjs-events').Envelope<import('../harness/types.mjs').EventData>} Envelope */

/** @param {import('../harness/types.mjs').OpenRequest} request */
export function open(request) {
  const { target, options, handle } = request;
  const { effects } = effectsSql(target.name);
  const batch = { size: Number(options.batch), waitMs: 20 };
  return openEffects(request, (dataSource) => {
    const handler = async (/** @type {Envelope[]} */ envelopes) => {
      const all = envelopes.map(({ data }) => data);
      await dataSource.query(effects, effectsOf(all));
      for (const data of all) await handle?.(data);
    };
    return handlerClass(handler, [OnEvents(target.event, { ...handlerOptions(options), batch })]);
  });
}

/** An application on nestjs-events whose events are in memory and whose effects are in PostgreSQL. */
import { ActivityStream, memory } from 'nestjs-events';
import { typeormIdempotency } from 'nestjs-events/typeorm';
import { openDataSource } from './data-source.mjs';
import { startApp } from './nestjs-events-app.mjs';

/**
 * Option: `retention`, as for `typeormIdempotency()`. Default here: nothing is cleaned.
 * @param {import('../harness/types.mjs').OpenRequest} request
 * @param {(dataSource: import('typeorm').DataSource) => new () => object} handler makes the handler's class
 * @returns {Promise<import('../harness/types.mjs').Session>}
 */
export async function openEffects({ target, options, settled }, handler) {
  const dataSource = await openDataSource(target);
  const retention = /** @type {import('nestjs-events/typeorm').RetentionOptions | false} */ (
    options.retention ?? false
  );
  const idempotency = typeormIdempotency({ dataSource, schema: target.name, migrate: true, retention });
  const transports = [memory({ allowMemory: true })];
  const { app, bus } = await startApp({ service: target.group, transports, idempotency }, [handler(dataSource)]);
  /** @type {(rowsPerSecond: number) => void} */
  let tell = () => {};
  const cleaned = new Promise((/** @type {(rowsPerSecond: number) => void} */ resolve) => (tell = resolve));
  if (settled) {
    app.get(ActivityStream).activities.subscribe((activity) => {
      if (activity.type === 'handled') settled(Number(activity.id));
      if (activity.type === 'cleaned') tell((activity.rows / activity.tookMs) * 1_000);
    });
  }
  // The ids of all contestants are the same: an index of longer ones is another index.
  const publishMany = (/** @type {import('../harness/types.mjs').OutgoingEvent[]} */ events) =>
    bus.publishAll(events.map(({ key, data }) => ({ name: target.event, data, key, id: String(data.sequence) })));
  return {
    publish: (event) => publishMany([event]),
    publishMany,
    cleaned: () => cleaned,
    close: async () => {
      await app.close();
      await dataSource.destroy();
    },
  };
}

/**
 * nestjs-events with `typeormOutbox()`. Options: `outbox`, those of the outbox; `transport` is `memory` where nothing is
 * relayed (default Kafka). To publish is to write an effect and enrol the event, in one transaction.
 */
import { memory } from 'nestjs-events';
import { kafka } from 'nestjs-events/kafka';
import { typeormOutbox } from 'nestjs-events/typeorm';
import { setTimeout as sleep } from 'node:timers/promises';
import { openDataSource } from './data-source.mjs';
import { effectOf, effectsSql } from './effects-sql.mjs';
import { startApp } from './nestjs-events-app.mjs';

const LOOK_EVERY_MS = 20;

/**
 * @param {import('../harness/types.mjs').OpenRequest} request
 * @returns {Promise<import('../harness/types.mjs').Session>}
 */
export async function open({ target, options }) {
  const dataSource = await openDataSource(target);
  const brokers = String(target.broker).split(',');
  const { app, bus } = await startApp(
    {
      service: target.group,
      transports: [options.transport === 'memory' ? memory({ allowMemory: true }) : kafka({ brokers })],
      outbox: typeormOutbox({
        dataSource,
        schema: target.name,
        migrate: true,
        .../** @type {import('nestjs-events/typeorm').TypeormOutboxOptions} */ (options.outbox),
      }),
    },
    [],
  );
  const { effect } = effectsSql(target.name);
  return {
    publish: ({ key, data }) =>
      bus.transactional(async () => {
        await dataSource.query(effect, effectOf(data));
        await bus.publish(target.event, data, { key });
      }),
    publishMany: (events) =>
      bus.transactional(() => bus.publishAll(events.map(({ key, data }) => ({ name: target.event, data, key })))),
    relayed: async () => {
      for (;;) {
        const [row] = await dataSource.query(`SELECT EXISTS (SELECT FROM ${target.name}.outbox) AS waiting`);
        if (!row.waiting) return;
        await sleep(LOOK_EVERY_MS);
      }
    },
    close: async () => {
      await app.close();
      await dataSource.destroy();
    },
  };
}

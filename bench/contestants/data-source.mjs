/** The DataSource of all contestants on TypeORM: 10 connections. */
import { DataSource, EntitySchema } from 'typeorm';

/** n.b. without a class, because no compiler sees its decorators here. */
export const Effect = new EntitySchema({
  name: 'Effect',
  tableName: 'effects',
  columns: { id: { type: 'bigint', primary: true }, account: { type: 'int' }, note: { type: 'text' } },
});

/** @param {import('../harness/types.mjs').Target} target */
export function openDataSource({ address, name }) {
  return new DataSource({
    type: 'postgres',
    url: address,
    schema: name,
    entities: [Effect],
    poolSize: 10,
  }).initialize();
}

import { DataSource } from 'typeorm';
import { EventsError } from '../core/errors.js';
import type { StoreEnvironment } from '../core/store.js';

/** Which DataSource: itself, or its name in `TypeOrmModule.forRoot({ name })`. Default: the one without a name. */
export type DataSourceOption = DataSource | string;

/** Finds the application's DataSource and sees that it can be used. Throws EVENTS_DATASOURCE_MISSING. */
export function resolveDataSource(environment: StoreEnvironment, option: DataSourceOption | undefined): DataSource {
  if (typeof option === 'object') return usable(option, 'the given DataSource');
  const name = option ?? 'default';
  // The tokens of @nestjs/typeorm.
  const token = name === 'default' ? DataSource : `${name}DataSource`;
  const found = environment.resolve(token);
  if (!(found instanceof DataSource)) {
    throw missing(
      name === 'default' ? 'there is no DataSource' : `there is no DataSource named "${name}"`,
      'Import TypeOrmModule.forRoot(…) in the application, or hand over a DataSource: typeormIdempotency({ dataSource }), typeormOutbox({ dataSource }).',
    );
  }
  return usable(found, name === 'default' ? 'the DataSource' : `the DataSource "${name}"`);
}

function usable(dataSource: DataSource, what: string): DataSource {
  const { type } = dataSource.options;
  if (type !== 'postgres') throw missing(`${what} is of type "${type}"`, 'These stores need PostgreSQL 15 or newer.');
  if (!dataSource.isInitialized) {
    throw missing(`${what} is not initialized`, 'Call initialize() on it before the application starts.');
  }
  return dataSource;
}

function missing(problem: string, remedy: string): EventsError {
  return new EventsError('EVENTS_DATASOURCE_MISSING', problem, { remedy });
}

import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { EmbeddedPostgres } from './embedded-postgres.js';

/** The tables of the sample are in a schema of their own, beside the library's `nestjs_events`. */
const SCHEMA = 'shop';
const SCHEMA_LOCK = 7_403_212;
/**
 * A handler holds one connection while it runs, because its effect and its event's id are one transaction: four slow
 * modules with a concurrency of 5 hold 20 at most, and the rest is for the web and the quick handlers. Three instances
 * fit into the 100 connections PostgreSQL allows by default.
 */
const POOL_SIZE = 30;

@Module({ providers: [EmbeddedPostgres], exports: [EmbeddedPostgres] })
class EmbeddedPostgresModule {}

@Module({
  imports: [
    TypeOrmModule.forRootAsync({
      imports: [EmbeddedPostgresModule],
      inject: [EmbeddedPostgres],
      useFactory: async (embedded: EmbeddedPostgres) => ({
        type: 'postgres',
        url: await embedded.url(),
        schema: SCHEMA,
        poolSize: POOL_SIZE,
        applicationName: 'nestjs-events-sample',
        autoLoadEntities: true,
        toRetry: () => false, // a database that is not there is said at once
      }),
      dataSourceFactory: async (options) => openDatabase(options as DataSourceOptions),
    }),
  ],
})
export class DatabaseModule {}

/**
 * The entities are the only description of the tables, so TypeORM makes them. Under a lock, because several instances
 * may start at once; an application with data to keep would use migrations.
 */
async function openDatabase(options: DataSourceOptions): Promise<DataSource> {
  const dataSource = new DataSource(options);
  try {
    await dataSource.initialize();
  } catch (error) {
    throw new Error(`PostgreSQL cannot be used: ${reasonOf(error)}. Check DATABASE_URL.`, { cause: error });
  }
  const lock = dataSource.createQueryRunner();
  try {
    await lock.query('SELECT pg_advisory_lock($1)', [SCHEMA_LOCK]);
    await lock.query(`CREATE SCHEMA IF NOT EXISTS ${SCHEMA}`);
    await dataSource.synchronize();
  } finally {
    await lock.query('SELECT pg_advisory_unlock($1)', [SCHEMA_LOCK]);
    await lock.release();
  }
  return dataSource;
}

/** Node tries every address of a host, and its error then says nothing itself. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}

/** `nestjs-events/typeorm`: effects once and the outbox in the application's own PostgreSQL. */
export { typeormIdempotency, type TypeormIdempotencyOptions } from './idempotency/typeorm-idempotency.js';
export { typeormOutbox, type TypeormOutboxOptions } from './outbox/typeorm-outbox.js';
export type { DataSourceOption } from './typeorm/data-source.js';
export { migrationsSql } from './typeorm/migrations.js';
export type { TypeormStoreOptions } from './typeorm/store-database.js';
export { outsideTransaction } from './typeorm/transaction-context.js';

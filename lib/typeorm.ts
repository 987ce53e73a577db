/** `nestjs-events/typeorm`: effects once, the outbox and dead letters in the application's own PostgreSQL. */
export { typeormDeadLetters } from './dead-letter/typeorm-dead-letters.js';
export type { RetentionOptions } from './idempotency/retention-options.js';
export { typeormIdempotency, type TypeormIdempotencyOptions } from './idempotency/typeorm-idempotency.js';
export { typeormOutbox } from './outbox/typeorm-outbox.js';
export type { TypeormOutboxOptions } from './outbox/typeorm-outbox-options.js';
export type { DataSourceOption } from './typeorm/data-source.js';
export type { TransactionIsolation } from './typeorm/isolation-level.js';
export { migrationsSql, type MigrationsSqlOptions } from './typeorm/migrations.js';
export type { TypeormStoreOptions } from './typeorm/store-database.js';
export { typeormAttempts } from './retry/typeorm-attempts.js';
export { outsideTransaction } from './typeorm/transaction-context.js';

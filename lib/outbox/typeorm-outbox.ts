import type { EntityManager } from 'typeorm';
import type { StoreEnvironment } from '../core/store.js';
import { lockNumber, shareOf } from '../typeorm/advisory-lock.js';
import { escapeText } from '../typeorm/postgres-text.js';
import { StoreDatabase, type TypeormStoreOptions } from '../typeorm/store-database.js';
import { envelopeToJson } from './outbox-entry.js';
import type { OutboxDefinition, OutboxEntry, OutboxStore, RelayResult } from './outbox-store.js';
import { afterCommitOf, openTransactionOf, transactionRequired } from './typeorm-caller-transaction.js';
import { relayBatch } from './typeorm-relay-batch.js';

export type TypeormOutboxOptions = TypeormStoreOptions;

/** The parts of the outbox that several relays can share out; stored in the row, so that a later change keeps old rows where they are. */
const SLOTS = 64;

/**
 * Keeps events in the table `outbox` of the application's own PostgreSQL, in the transaction that caused them.
 * They are published at least once: a process that dies after publishing and before forgetting publishes them again,
 * with the same ids.
 */
export function typeormOutbox(options: TypeormOutboxOptions = {}): OutboxDefinition {
  return { create: (environment) => new TypeormOutbox(options, environment) };
}

class TypeormOutbox implements OutboxStore {
  readonly #database: StoreDatabase;
  readonly #listeners: (() => void)[] = [];

  constructor(options: TypeormOutboxOptions, environment: StoreEnvironment) {
    this.#database = new StoreDatabase(options, environment);
  }

  async prepare(): Promise<void> {
    await this.#database.open();
  }

  close(): void {
    this.#database.close();
  }

  onCommitted(listener: () => void): void {
    this.#listeners.push(listener);
  }

  isTransactionOpen(): boolean {
    return this.#database.isOpen && this.#database.context.current() !== undefined;
  }

  async transactional<T>(work: () => Promise<T>): Promise<T> {
    return this.#database.context.run(() => work(), { owner: 'caller' });
  }

  async enrol(entries: readonly OutboxEntry[], manager?: unknown): Promise<void> {
    if (entries.length === 0) return;
    const { context, dataSource } = this.#database;
    const own = context.current();
    if (own === undefined && manager === undefined) throw transactionRequired('no transaction is open here');
    // Inside our own transaction the DataSource's manager is as good as the transaction's.
    const reachesOwn = own !== undefined && (manager === undefined || manager === dataSource.manager);
    const transaction = reachesOwn ? dataSource.manager : openTransactionOf(manager, dataSource);
    if (own === undefined) {
      await this.#write(transaction, entries);
      afterCommitOf(transaction, this.#hint);
    } else {
      own.assertOpen();
      // Counted in with the transaction, so that a handler which does not await publish() still publishes.
      await own.include(() => this.#write(transaction, entries));
      own.afterCommit(this.#hint);
    }
  }

  relay(limit: number, publish: (entry: OutboxEntry) => Promise<void>): Promise<RelayResult> {
    const { context, schema, schemaName } = this.#database;
    return context.outside(() =>
      relayBatch({
        runner: context.separateRunner(),
        schema,
        lock: lockNumber('outbox-relay', schemaName),
        limit,
        publish,
      }),
    );
  }

  readonly #hint = (): void => {
    for (const listener of this.#listeners) listener();
  };

  async #write(manager: EntityManager, entries: readonly OutboxEntry[]): Promise<void> {
    // Written as text first: data that cannot be written must not leave locks behind.
    const rows = entries.map(({ envelope, transport }) => ({ envelope, transport, json: envelopeToJson(envelope) }));
    await this.#takeTurns(manager, entries);
    const column = <T>(of: (row: (typeof rows)[number]) => T): T[] => rows.map(of);
    await manager.query(
      `INSERT INTO ${this.#database.schema}.outbox (slot, id, name, key, transport, envelope)
       SELECT slot, id, name, key, transport, envelope::json
       FROM unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
         WITH ORDINALITY AS entry (slot, id, name, key, transport, envelope, ordinality)
       ORDER BY ordinality`,
      [
        column(({ envelope }) => shareOf(envelope.key ?? envelope.id, SLOTS)),
        column(({ envelope }) => escapeText(envelope.id)),
        column(({ envelope }) => envelope.name),
        column(({ envelope }) => (envelope.key === undefined ? null : escapeText(envelope.key))),
        column(({ transport }) => transport),
        column(({ json }) => json),
      ],
    );
  }

  /**
   * Transactions that publish the same key take turns until they have ended: positions, given after the lock, then
   * follow the order of commits, and no late commit has a lower position than one that was published. Sorted, so that
   * two of them cannot wait for each other.
   */
  async #takeTurns(manager: EntityManager, entries: readonly OutboxEntry[]): Promise<void> {
    const keys = new Set(entries.flatMap(({ envelope }) => (envelope.key === undefined ? [] : [envelope.key])));
    if (keys.size === 0) return;
    const locks = [...keys].map((key) => lockNumber('outbox-key', this.#database.schemaName, key)).sort();
    await manager.query('SELECT count(pg_advisory_xact_lock(lock)) FROM unnest($1::bigint[]) AS lock', [locks]);
  }
}

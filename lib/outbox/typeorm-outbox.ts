import type { StoreEnvironment } from '../core/store.js';
import { lockNumber } from '../typeorm/advisory-lock.js';
import { StoreDatabase } from '../typeorm/store-database.js';
import { transactionRequired } from './outbox-errors.js';
import type {
  OutboxDefinition,
  OutboxEntry,
  OutboxLag,
  OutboxStore,
  ParkedEvent,
  ParkedQuery,
  RelayRequest,
  RelayResult,
} from './outbox-store.js';
import { afterCommitOf, openTransactionOf } from './typeorm-caller-transaction.js';
import { enrol } from './typeorm-enrol.js';
import { removePublished } from './typeorm-outbox-cleanup.js';
import { discardParked, lagOf, parkedEvents, releaseParked, waitingTransports } from './typeorm-outbox-figures.js';
import { listen } from './typeorm-outbox-listener.js';
import {
  resolveTypeormOutbox,
  type ResolvedTypeormOutbox,
  type TypeormOutboxOptions,
} from './typeorm-outbox-options.js';
import type { OutboxTable } from './typeorm-outbox-table.js';
import { relayBatch } from './typeorm-relay-batch.js';

/**
 * Keeps events in the table `outbox` of the application's own PostgreSQL, in the transaction that caused them.
 * They are published at least once: a process that dies after publishing and before forgetting publishes them again,
 * with the same ids. Throws EVENTS_OPTIONS_INVALID.
 *
 * Handlers publish in their own transaction only if it is one of this DataSource: where `typeormIdempotency()` has
 * another, what they publish goes to the transport at once, whatever becomes of them. The start warns of that.
 */
export function typeormOutbox(options: TypeormOutboxOptions = {}): OutboxDefinition {
  const settings = resolveTypeormOutbox(options);
  return {
    create: (environment) =>
      new TypeormOutbox(new StoreDatabase(options, environment, 'outbox'), { environment, settings }),
    relay: settings.relay,
  };
}

type Watcher = (transports: readonly string[] | undefined) => void;

class TypeormOutbox implements OutboxStore {
  readonly #database: StoreDatabase;
  readonly #environment: StoreEnvironment;
  readonly #settings: ResolvedTypeormOutbox;
  readonly #watchers = new Set<Watcher>();
  readonly #table: OutboxTable;

  constructor(database: StoreDatabase, tools: { environment: StoreEnvironment; settings: ResolvedTypeormOutbox }) {
    this.#database = database;
    this.#environment = tools.environment;
    this.#settings = tools.settings;
    this.#table = {
      schema: database.schema,
      lockOf: (transport) => lockNumber('outbox-slot', database.schemaName, transport),
      keeps: tools.settings.keepDays !== undefined,
    };
  }

  async prepare(): Promise<void> {
    await this.#database.open();
  }

  close(): void {
    this.#database.close();
  }

  get database(): unknown {
    return this.#database.dataSource;
  }

  isTransactionOpen(): boolean {
    return this.#database.isOpen && this.#database.context.current() !== undefined;
  }

  async transactional<T>(work: () => Promise<T>): Promise<T> {
    return this.#database.context.run(() => work(), { owner: 'caller' });
  }

  async enrol(entries: readonly OutboxEntry[], manager?: unknown): Promise<void> {
    if (entries.length === 0) return;
    const { context, dataSource, schema, schemaName } = this.#database;
    const own = context.current();
    if (own === undefined && manager === undefined) throw transactionRequired('no transaction is open here');
    // Inside our own transaction the DataSource's manager is as good as the transaction's.
    const reachesOwn = own !== undefined && (manager === undefined || manager === dataSource.manager);
    const transaction = reachesOwn ? dataSource.manager : openTransactionOf(manager, dataSource);
    const request = { entries, schema, schemaName, channel: this.#settings.notify ? this.#channel() : undefined };
    const transports = [...new Set(entries.map(({ transport }) => transport))];
    const hint = (): void => this.#hint(transports);
    if (own === undefined) {
      await enrol(transaction, request);
      afterCommitOf(transaction, hint);
    } else {
      own.assertOpen();
      // Counted in with the transaction, so that a handler which does not await publish() still publishes.
      await own.include(() => enrol(transaction, request));
      own.afterCommit(hint);
    }
  }

  relay(request: RelayRequest): Promise<RelayResult> {
    const { context } = this.#database;
    return context.outside(() => relayBatch({ runner: context.separateRunner(), table: this.#table, request }));
  }

  watch(watcher: Watcher): () => Promise<void> {
    this.#watchers.add(watcher);
    const { clock, logger } = this.#environment;
    const stopListening = this.#settings.notify
      ? listen({ dataSource: this.#database.dataSource, channel: this.#channel(), clock, logger, heard: watcher })
      : undefined;
    return async () => {
      this.#watchers.delete(watcher);
      await stopListening?.();
    };
  }

  transports(): Promise<readonly string[]> {
    return this.#outside(() => waitingTransports(this.#database.dataSource, this.#table));
  }

  async clean(signal: AbortSignal): Promise<void> {
    const { keepDays } = this.#settings;
    if (keepDays === undefined) return;
    const lock = lockNumber('outbox-cleanup', this.#database.schemaName);
    const rows = await removePublished({ database: this.#database, lock, keepDays }, signal);
    if (rows > 0) this.#environment.logger.debug(`removed ${rows} events published more than ${keepDays} days ago`);
  }

  lag(): Promise<OutboxLag> {
    return this.#outside(() => lagOf(this.#database.dataSource, this.#table));
  }

  parked(query: ParkedQuery): Promise<ParkedEvent[]> {
    return this.#outside(() => parkedEvents(this.#database.dataSource, this.#table, query));
  }

  async release(ids: readonly string[]): Promise<number> {
    const released = await this.#outside(() => releaseParked(this.#database.dataSource, this.#table, ids));
    if (released.length > 0) this.#hint([...new Set(released)]);
    return released.length;
  }

  discard(ids: readonly string[]): Promise<number> {
    return this.#outside(() => discardParked(this.#database.dataSource, this.#table, ids));
  }

  /** What operators do is not undone with a transaction that happens to be open. */
  #outside<T>(work: () => Promise<T>): Promise<T> {
    return this.#database.context.outside(work);
  }

  /** Names in PostgreSQL are cut at 63 bytes; a number never is. */
  #channel(): string {
    return `nestjs_events_outbox_${lockNumber('outbox-channel', this.#database.schemaName).replace('-', 'm')}`;
  }

  #hint(transports: readonly string[]): void {
    for (const watcher of this.#watchers) watcher(transports);
  }
}

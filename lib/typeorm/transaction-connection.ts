import type { DataSource, QueryRunner } from 'typeorm';
import { SerialClient, type PgClient, type PgResult } from './serial-client.js';

type Step = 'TransactionStart' | 'TransactionCommit' | 'TransactionRollback';

/**
 * A query runner with its connection: what controls a transaction on it. n.b. TypeORM's own startTransaction() and its
 * likes cost as much as the statements they send, for every event.
 */
export class TransactionConnection {
  readonly client: SerialClient;

  constructor(
    readonly runner: QueryRunner,
    client: PgClient,
    private readonly dataSource: DataSource,
  ) {
    this.client = new SerialClient(client);
    // TypeORM hands this runner to subscribers: what they send is queued with the rest.
    runner.connect = async () => this.client.view((args) => this.client.send(args));
  }

  async begin(isolationLevel: string | undefined): Promise<void> {
    this.#isAt(1);
    const level = isolationLevel ?? (this.dataSource.options as { isolationLevel?: string }).isolationLevel;
    await this.#step('TransactionStart', `START TRANSACTION${level === undefined ? '' : ` ISOLATION LEVEL ${level}`}`);
  }

  /** Returns `false` when the transaction was aborted: PostgreSQL then answers "ROLLBACK", which is no error to pg. */
  async commit(beforeSent: () => void): Promise<boolean> {
    const { command } = await this.#step('TransactionCommit', 'COMMIT', beforeSent);
    this.#isAt(0);
    return command !== 'ROLLBACK';
  }

  async rollback(): Promise<void> {
    await this.#step('TransactionRollback', 'ROLLBACK');
    this.#isAt(0);
  }

  async setSavepoint(name: string): Promise<void> {
    await this.#step('TransactionStart', `SAVEPOINT ${name}`);
  }

  async releaseSavepoint(name: string): Promise<void> {
    await this.#step('TransactionCommit', `RELEASE SAVEPOINT ${name}`);
  }

  async rollbackToSavepoint(name: string): Promise<void> {
    await this.#step('TransactionRollback', `ROLLBACK TO SAVEPOINT ${name}`);
  }

  /** A statement of this library: logged as all are; not told to subscribers, who listen to the application's. */
  query(sql: string, parameters?: unknown[]): Promise<PgResult> {
    this.dataSource.logger.logQuery(sql, parameters, this.runner);
    return this.client.query([sql, parameters]);
  }

  #step(step: Step, sql: string, beforeSent?: () => void): Promise<PgResult> {
    if (this.dataSource.subscribers.length > 0) return this.#announced(step, sql, beforeSent);
    beforeSent?.();
    return this.query(sql);
  }

  async #announced(step: Step, sql: string, beforeSent?: () => void): Promise<PgResult> {
    const { broadcaster } = this.runner;
    await broadcaster.broadcast(`Before${step}`);
    beforeSent?.();
    const result = await this.query(sql);
    await broadcaster.broadcast(`After${step}`);
    return result;
  }

  /** What TypeORM looks at to know whether it has to open a transaction, and whether that is a savepoint. */
  #isAt(transactionDepth: number): void {
    Object.assign(this.runner, { isTransactionActive: transactionDepth > 0, transactionDepth });
  }
}

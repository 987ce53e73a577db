import { EntityManager, type DataSource, type QueryRunner } from 'typeorm';
import { transactionRequired } from './outbox-errors.js';

/** The caller's transaction out of what was given as `manager`. Throws EVENTS_TRANSACTION_REQUIRED for anything else. */
export function openTransactionOf(manager: unknown, dataSource: DataSource): EntityManager {
  if (!(manager instanceof EntityManager)) throw transactionRequired('the given manager is no EntityManager');
  // n.b. TypeORM 1 says `dataSource` too, 0.3 does not.
  if (manager.connection !== dataSource) {
    throw transactionRequired("the given manager belongs to another DataSource than the outbox's");
  }
  const { queryRunner } = manager;
  if (queryRunner === undefined) throw transactionRequired('the given manager is not that of a transaction');
  if (queryRunner.isReleased || !queryRunner.isTransactionActive) {
    throw transactionRequired('the transaction of the given manager is not open');
  }
  return manager;
}

const CALLBACKS = Symbol('nestjs-events.after-commit');
interface WithCallbacks {
  [CALLBACKS]?: Set<() => void>;
}

/** Calls back when the caller's own transaction commits. Its query runner is one transaction's and forgotten with it. */
export function afterCommitOf(transaction: EntityManager, callback: () => void): void {
  const runner = transaction.queryRunner as QueryRunner & WithCallbacks;
  if (runner[CALLBACKS] !== undefined) {
    runner[CALLBACKS].add(callback);
    return;
  }
  const callbacks = new Set([callback]);
  runner[CALLBACKS] = callbacks;
  const commit = runner.commitTransaction.bind(runner);
  runner.commitTransaction = async () => {
    await commit();
    // Still active: that was a savepoint.
    if (runner.isTransactionActive) return;
    for (const each of callbacks) each();
    callbacks.clear();
  };
}

import { finished, type Readable } from 'node:stream';
import { TransactionNotStartedError, type DataSource, type EntityManager, type QueryRunner } from 'typeorm';
import type { TransactionFrame } from './transaction-frame.js';

type Work<T> = (manager: EntityManager) => Promise<T>;
/** Runs a nested transaction in a frame. */
export type Nest = <T>(frame: TransactionFrame, work: Work<T>) => Promise<T>;

/**
 * A query runner as `createQueryRunner` returns one, but on the connection of a transaction that is open already: its
 * transactions are savepoints, and releasing it gives nothing back. n.b. it does not inherit from the transaction's
 * runner: V8 treats what others inherit from as a class, and all that touches it becomes slow.
 */
export function joinTransaction(dataSource: DataSource, frame: TransactionFrame, nest: Nest): QueryRunner {
  const joined = dataSource.driver.createQueryRunner('master');
  const stream = joined.stream.bind(joined);
  let current = frame;

  const startTransaction = async (): Promise<void> => {
    current = await current.savepoint({ hasBody: false });
  };
  const commitTransaction = async (): Promise<void> => {
    const { parent } = ownSavepoint();
    await current.commit();
    if (parent !== undefined) current = parent;
  };
  const rollbackTransaction = async (): Promise<void> => {
    const ending = ownSavepoint();
    if (ending.parent !== undefined) current = ending.parent;
    await ending.rollback();
  };
  const release = async (): Promise<void> => {
    while (current !== frame) await rollbackTransaction();
  };
  function ownSavepoint(): TransactionFrame {
    if (current === frame) throw new TransactionNotStartedError();
    return current;
  }

  const manager = dataSource.createEntityManager(joined);
  manager.transaction = <T>(...args: TransactionArguments<T>): Promise<T> => nest(current, workOf(args));
  return Object.assign(joined, {
    manager,
    isTransactionActive: true,
    data: frame.data,
    connect: () => current.connect(),
    stream: (...args: Parameters<QueryRunner['stream']>) => streamAlone(current, () => stream(...args)),
    startTransaction,
    commitTransaction,
    rollbackTransaction,
    release,
    [Symbol.asyncDispose]: async (): Promise<void> => {
      if (current !== frame) await commitTransaction();
      await release();
    },
  });
}

/** What `transaction()` takes: the work, maybe after an isolation level, which a savepoint cannot have. */
export type TransactionArguments<T> = readonly (Work<T> | string | undefined)[];

export function workOf<T>(args: TransactionArguments<T>): Work<T> {
  const work = args.find((each) => typeof each === 'function');
  if (work === undefined) throw new TypeError('transaction() needs a function to run');
  return work;
}

/** The stream at once, the connection to others only when it has been read or destroyed. */
function streamAlone<T>(frame: TransactionFrame, open: () => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    frame
      .hold(async () => {
        const stream = await open();
        resolve(stream);
        await new Promise<void>((done) => void finished(stream as Readable, () => done()));
      })
      .catch(reject);
  });
}

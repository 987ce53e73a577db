import type { DataSource, EntityManager, QueryRunner } from 'typeorm';
import { Ambient } from '../core/ambient.js';
import { giveBack } from './give-back.js';
import { joinTransaction, workOf, type TransactionArguments } from './joined-runner.js';
import type { PgClient } from './serial-client.js';
import { TransactionConnection } from './transaction-connection.js';
import { TransactionFrame, type Beginning, type Opening, type TransactionWish } from './transaction-frame.js';

/** Where a DataSource keeps its context: the stores of one application share it, two applications do not. */
const CONTEXT = Symbol('nestjs-events.transaction-context');
interface WithContext {
  [CONTEXT]?: TransactionContext | undefined;
}

type CreateQueryRunner = DataSource['createQueryRunner'];
type Work<T> = (manager: EntityManager) => Promise<T>;
/** The body of a transaction, with the rows of its opening statement. */
type Body<T> = (frame: TransactionFrame, opened: readonly unknown[]) => Promise<T>;

/**
 * One transaction that everything reaches. Inside {@link run}, whatever asks the DataSource for a query runner gets the
 * open transaction's: repositories made before or after, entity managers, query builders, raw queries, streams, and
 * `dataSource.transaction`, which becomes a savepoint. Code outside is not touched, its own transactions neither.
 */
export class TransactionContext {
  readonly #frame = new Ambient<TransactionFrame>();
  readonly #createQueryRunner: CreateQueryRunner;
  readonly #restore: () => void;
  readonly #running = (): TransactionFrame | undefined => this.current();
  #users = 1;

  private constructor(private readonly dataSource: DataSource) {
    this.#createQueryRunner = dataSource.createQueryRunner.bind(dataSource);
    const restoreRunner = replace(dataSource, 'createQueryRunner', (original: CreateQueryRunner) => (mode) => {
      const frame = this.#frame.current();
      return frame === undefined ? original(mode) : this.#join(frame);
    });
    const restoreTransaction = replace(
      dataSource.manager,
      'transaction',
      (original: (...args: TransactionArguments<unknown>) => Promise<unknown>) =>
        (...args: TransactionArguments<unknown>) => {
          const frame = this.#frame.current();
          return frame === undefined ? original(...args) : this.#nest(frame, this.#withManager(workOf(args)));
        },
    );
    this.#restore = () => {
      restoreTransaction();
      restoreRunner();
    };
  }

  /** The context of a DataSource, installed by whoever comes first. Each caller calls {@link uninstall} once. */
  static install(dataSource: DataSource): TransactionContext {
    const place = dataSource as WithContext;
    const installed = place[CONTEXT];
    if (installed !== undefined) {
      installed.#users++;
      return installed;
    }
    const context = new TransactionContext(dataSource);
    Object.defineProperty(place, CONTEXT, { value: context, configurable: true, enumerable: false });
    return context;
  }

  static of(dataSource: DataSource): TransactionContext | undefined {
    return (dataSource as WithContext)[CONTEXT];
  }

  /** Gives the DataSource back as it was, once all who installed it have said so. */
  uninstall(): void {
    if (--this.#users > 0) return;
    this.#restore();
    delete (this.dataSource as WithContext)[CONTEXT];
  }

  /** The transaction the running code belongs to, even if it is over: such code must not fall out of it unnoticed. */
  current(): TransactionFrame | undefined {
    return this.#frame.current();
  }

  /** Runs `work` in a transaction of its own, or in a savepoint of the one that is open here. Rethrows what `work` throws. */
  run<T>(work: Work<T>, wish: TransactionWish): Promise<T> {
    return this.#in(this.#withManager(work), wish);
  }

  /** The same with the rows of a first statement, and without a manager, which costs something to make. */
  runAfter<Row, T>(opening: Opening, work: (opened: readonly Row[]) => Promise<T>, wish: TransactionWish): Promise<T> {
    return this.#in((_, opened) => work(opened as readonly Row[]), wish, opening);
  }

  /** Runs `work` as if no transaction were open here: on connections of its own, and not undone with it. */
  outside<T>(work: () => T): T {
    return this.#frame.run(undefined, work);
  }

  /** A query runner with a connection of its own, wherever it is asked for. */
  separateRunner(): QueryRunner {
    return this.#createQueryRunner('master');
  }

  #in<T>(body: Body<T>, wish: TransactionWish, opening?: Opening): Promise<T> {
    const frame = this.#frame.current();
    return frame === undefined ? this.#begin(body, wish, opening) : this.#nest(frame, body, opening);
  }

  async #begin<T>(body: Body<T>, wish: TransactionWish, opening: Opening | undefined): Promise<T> {
    const runner = this.separateRunner();
    try {
      const connection = new TransactionConnection(runner, (await runner.connect()) as PgClient, this.dataSource);
      const frame = TransactionFrame.outermost(connection, wish.owner, this.#running);
      return await this.#settle(frame, body, { isolationLevel: wish.isolationLevel, opening });
    } finally {
      await giveBack(runner);
    }
  }

  async #nest<T>(frame: TransactionFrame, body: Body<T>, opening?: Opening): Promise<T> {
    // An outer manager used inside a nested transaction means that one: its own turn would come only after it.
    const running = this.current();
    const place = running?.isWithin(frame) === true ? running : frame;
    return this.#settle(await place.savepoint({ hasBody: true }), body, { opening });
  }

  async #settle<T>(frame: TransactionFrame, body: Body<T>, beginning: Beginning): Promise<T> {
    try {
      const opened = await frame.open(beginning);
      const result = await this.#frame.run(frame, () => body(frame, opened));
      await frame.commit();
      return result;
    } catch (error) {
      // The first error is the one to tell; a connection that cannot roll back is closed in giveBack().
      await frame.rollback().catch(() => undefined);
      throw error;
    }
  }

  #withManager<T>(work: Work<T>): Body<T> {
    return (frame) => work(this.#join(frame).manager);
  }

  #join(frame: TransactionFrame): QueryRunner {
    return joinTransaction(this.dataSource, frame, (inner, work) => this.#nest(inner, this.#withManager(work)));
  }
}

/**
 * Runs `work` outside the handler's transaction: what it writes stays, whatever becomes of the handler.
 * Without an open transaction it just runs.
 */
export function outsideTransaction<T>(dataSource: DataSource, work: () => T): T {
  const context = TransactionContext.of(dataSource);
  return context === undefined ? work() : context.outside(work);
}

/** Replaces a method on this one object. The returned function puts it back, unless somebody else has replaced it since. */
function replace<K extends string, F>(target: { [P in K]: unknown }, name: K, make: (original: F) => F): () => void {
  const own = Object.getOwnPropertyDescriptor(target, name);
  const original = target[name] as (...args: unknown[]) => unknown;
  const replacement = make(original.bind(target) as F);
  target[name] = replacement;
  return () => {
    if (target[name] !== replacement) return;
    if (own === undefined) Reflect.deleteProperty(target, name);
    else Object.defineProperty(target, name, own);
  };
}

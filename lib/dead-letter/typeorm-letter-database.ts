import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf } from '../core/errors.js';
import { lockNumber } from '../typeorm/advisory-lock.js';
import { giveBack } from '../typeorm/give-back.js';
import type { StoreDatabase } from '../typeorm/store-database.js';

/** What the statements about dead letters need. */
export interface LetterSession {
  /** Ready for SQL. */
  readonly schema: string;
  /** The number of the advisory lock that claiming takes. */
  readonly claimLock: string;
  query<T>(sql: string, parameters?: readonly unknown[]): Promise<T[]>;
}

/** n.b. serialization_failure, deadlock_detected: https://www.postgresql.org/docs/current/errcodes-appendix.html */
const CONFLICTS = new Set(['40001', '40P01']);
const TRIES = 10;

/**
 * The tables of dead letters, always outside the transaction that is open where it is called: a dead letter outlives the
 * rollback of its handler.
 */
export class LetterDatabase {
  readonly #lock: string;

  constructor(private readonly database: StoreDatabase) {
    this.#lock = lockNumber('dead-letters-claim', database.schemaName);
  }

  /** Statements that each stand alone and change nothing. */
  read<T>(work: (session: LetterSession) => Promise<T>): Promise<T> {
    const { context, dataSource } = this.database;
    return context.outside(() =>
      work(this.#session((sql, parameters) => dataSource.query<unknown[]>(sql, [...parameters]))),
    );
  }

  /** One transaction, again when it met another one: nothing of it has happened then. */
  async transaction<T>(work: (session: LetterSession) => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.database.context.outside(() => this.#once(work));
      } catch (error) {
        if (tries === TRIES || !CONFLICTS.has(codeOf(error))) throw error;
        await sleep(Math.random() * 10 * tries);
      }
    }
  }

  async #once<T>(work: (session: LetterSession) => Promise<T>): Promise<T> {
    const runner = this.database.context.separateRunner();
    try {
      // Whatever the DataSource's default: a later statement has to see what was committed while a lock was waited for.
      await runner.startTransaction('READ COMMITTED');
      try {
        const result = await work(
          this.#session((sql, parameters) => runner.query(sql, [...parameters]) as Promise<unknown[]>),
        );
        await runner.commitTransaction();
        return result;
      } catch (error) {
        await runner.rollbackTransaction().catch(() => undefined); // the first error is the one to tell
        throw error;
      }
    } finally {
      await giveBack(runner);
    }
  }

  #session(query: (sql: string, parameters: readonly unknown[]) => Promise<unknown[]>): LetterSession {
    return {
      schema: this.database.schema,
      claimLock: this.#lock,
      query: <T>(sql: string, parameters: readonly unknown[] = []) => query(sql, parameters) as Promise<T[]>,
    };
  }
}

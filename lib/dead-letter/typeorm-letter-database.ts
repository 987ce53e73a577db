import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf } from '../core/errors.js';
import { lockNumber } from '../typeorm/advisory-lock.js';
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
        return await this.database.transaction((runner) =>
          work(this.#session((sql, parameters) => runner.query(sql, [...parameters]) as Promise<unknown[]>)),
        );
      } catch (error) {
        if (tries === TRIES || !CONFLICTS.has(codeOf(error))) throw error;
        await sleep(Math.random() * 10 * tries);
      }
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

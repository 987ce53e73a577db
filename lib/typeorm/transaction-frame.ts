import type { QueryRunner } from 'typeorm';
import { systemClock, within } from '../core/clock.js';
import type { TransactionIsolation } from './isolation-level.js';
import { isSubmittable, type PgClient } from './serial-client.js';
import { SerialQueue } from './serial-queue.js';
import type { TransactionConnection } from './transaction-connection.js';
import { MAX_WAIT_MS, transactionAborted, transactionBusy, transactionEnded } from './transaction-errors.js';

/** Who opened the transaction: a delivery being handled, or code that asked for it. */
export type TransactionOwner = 'delivery' | 'caller';

export interface TransactionWish {
  readonly owner: TransactionOwner;
  /** Default: the database's. A savepoint has that of its transaction. */
  readonly isolationLevel?: TransactionIsolation | undefined;
}

/** The first statement of a transaction. */
export interface Opening {
  readonly sql: string;
  readonly parameters: unknown[];
  /** What to throw instead of the statement's error. */
  readonly explain: (error: unknown) => unknown;
}

/** How a transaction begins. */
export interface Beginning {
  readonly isolationLevel?: TransactionIsolation | undefined;
  readonly opening?: Opening | undefined;
}

interface Nesting {
  readonly owner: TransactionOwner;
  /** What runs in it is known, so all else can wait for it. */
  readonly hasBody: boolean;
  readonly parent?: TransactionFrame;
}

/** Where the code that asks belongs to. */
export type RunningFrame = () => TransactionFrame | undefined;

/**
 * An open transaction, or a savepoint inside one. Savepoints of PostgreSQL nest and cannot overlap, so those of one
 * frame take turns; and what belongs to the frame itself waits while a savepoint with a body of its own is open, or it
 * would be undone together with that.
 */
export class TransactionFrame {
  readonly #savepoints = new SerialQueue();
  readonly #committed: (() => void)[] = [];
  readonly #pending = new Set<Promise<unknown>>();
  readonly #depth: number;
  #view: Promise<PgClient> | undefined;
  #opened: Promise<void> | undefined;
  #ending: Promise<void> | undefined;
  #inner: TransactionFrame | undefined;
  #done: Promise<void> | undefined;
  #resolveDone = (): void => undefined;
  /** Takes no more savepoints. */
  #closing = false;
  /** Takes no more statements. */
  #ended = false;
  #finished = false;

  private constructor(
    private readonly connection: TransactionConnection,
    private readonly nesting: Nesting,
    private readonly running: RunningFrame,
  ) {
    this.#depth = nesting.parent === undefined ? 0 : nesting.parent.#depth + 1;
  }

  /** The outermost frame, of a transaction that has begun or is about to. */
  static outermost(
    connection: TransactionConnection,
    owner: TransactionOwner,
    running: RunningFrame,
  ): TransactionFrame {
    return new TransactionFrame(connection, { owner, hasBody: true }, running);
  }

  /** Begins the transaction, unless it is a savepoint, which has begun. Returns the rows of the opening statement. */
  async open({ isolationLevel, opening }: Beginning): Promise<unknown[]> {
    if (this.parent === undefined) await this.connection.begin(isolationLevel);
    if (opening === undefined) return [];
    try {
      return await this.query(opening.sql, opening.parameters);
    } catch (error) {
      throw opening.explain(error);
    }
  }

  get owner(): TransactionOwner {
    return this.nesting.owner;
  }

  get parent(): TransactionFrame | undefined {
    return this.nesting.parent;
  }

  /** What users of the transaction leave for each other, as on a query runner of their own. */
  get data(): QueryRunner['data'] {
    return this.connection.runner.data;
  }

  isWithin(outer: TransactionFrame): boolean {
    return this === outer || this.parent?.isWithin(outer) === true;
  }

  assertOpen(): void {
    if (this.#ended) throw transactionEnded();
  }

  /** A savepoint, once those before it have ended. */
  savepoint(options: Pick<Nesting, 'hasBody'>): Promise<TransactionFrame> {
    const child = new TransactionFrame(this.connection, { ...options, parent: this, owner: this.owner }, this.running);
    const done = new Promise<void>((resolve) => (child.#resolveDone = resolve));
    child.#done = done;
    let gaveUp = false;
    return new Promise((resolve, reject) => {
      const opened = this.#savepoints.run(async () => {
        if (gaveUp) return;
        if (this.#closing) throw transactionEnded();
        this.#inner = child;
        child.#opened = this.connection.setSavepoint(child.#name);
        await child.#opened;
      });
      // The next one's turn comes when this one has ended.
      void this.#savepoints.run(() => (gaveUp || this.#inner !== child ? Promise.resolve() : done));
      opened.then(
        () => (gaveUp && this.#inner === child ? void child.rollback().catch(() => undefined) : resolve(child)),
        (error: Error) => {
          child.#finish();
          reject(error);
        },
      );
      void within(
        systemClock,
        MAX_WAIT_MS,
        opened.catch(() => undefined),
      ).then((inTime) => {
        if (inTime) return;
        gaveUp = true;
        reject(transactionBusy());
      });
    });
  }

  /** The connection for a query runner that takes part in this frame. Throws EVENTS_TRANSACTION_ENDED. */
  connect(): Promise<PgClient> {
    this.assertOpen();
    return (this.#view ??= Promise.resolve(this.connection.client.view((args) => this.#send(args))));
  }

  /** A statement of this library in this frame. */
  async query<Row>(sql: string, parameters?: unknown[]): Promise<Row[]> {
    if (this.#hasToWait) await this.#alone();
    this.assertOpen();
    const { rows } = await this.connection.query(sql, parameters);
    return rows as Row[];
  }

  /** Keeps the connection to itself while `task` runs. */
  async hold<T>(task: () => Promise<T>): Promise<T> {
    await this.#alone();
    this.assertOpen();
    return this.connection.client.hold(task);
  }

  /** Calls back once the whole transaction is committed; never, if this part of it is undone. */
  afterCommit(callback: () => void): void {
    this.#committed.push(callback);
  }

  /** Work of several statements that the end of the frame waits for, though nobody else may. */
  async include<T>(work: () => Promise<T>): Promise<T> {
    const running = work();
    this.#pending.add(running);
    try {
      return await running;
    } finally {
      this.#pending.delete(running);
    }
  }

  commit(): Promise<void> {
    return (this.#ending = this.#commit());
  }

  async rollback(): Promise<void> {
    await Promise.allSettled([...this.#pending, this.#opened, this.#ending]);
    if (this.#finished) return;
    // Before the statement is sent: what comes behind it would escape into the parent or out of the transaction.
    this.#closing = this.#ended = true;
    await this.#inner?.rollback().catch(() => undefined);
    try {
      if (this.parent === undefined) await this.connection.rollback();
      else await this.connection.rollbackToSavepoint(this.#name);
    } finally {
      this.#finish();
    }
  }

  async #commit(): Promise<void> {
    this.assertOpen();
    if (this.#pending.size > 0) await Promise.allSettled(this.#pending);
    this.#closing = true;
    // A savepoint nobody ended: undone, as a connection given back with an open transaction would be.
    if (this.#inner !== undefined) await this.#inner.rollback();
    const { parent } = this.nesting;
    if (parent !== undefined) {
      await this.connection.releaseSavepoint(this.#name);
      this.#finish();
      parent.#committed.push(...this.#committed);
      return;
    }
    // From then on, what still runs in the background would come behind the commit.
    const committed = await this.connection.commit(() => (this.#ended = true));
    this.#finish();
    if (!committed) throw transactionAborted(this.connection.client.failure);
    for (const callback of this.#committed) callback();
  }

  get #name(): string {
    return `nestjs_events_${this.#depth}`;
  }

  get #hasToWait(): boolean {
    return this.#inner?.nesting.hasBody === true;
  }

  #send(args: unknown[]): unknown {
    if (this.#hasToWait && !isSubmittable(args[0])) return this.#alone().then(() => this.#sendNow(args));
    return this.#sendNow(args);
  }

  #sendNow(args: unknown[]): unknown {
    this.assertOpen();
    return this.connection.client.send(args);
  }

  async #alone(): Promise<void> {
    while (this.#inner?.nesting.hasBody === true) {
      // The body itself, by an outer manager: it would wait for its own end.
      if (this.running()?.isWithin(this.#inner) === true) return;
      if (!(await within(systemClock, MAX_WAIT_MS, this.#inner.#done as Promise<void>))) throw transactionBusy();
    }
  }

  #finish(): void {
    this.#closing = this.#ended = this.#finished = true;
    const { parent } = this.nesting;
    if (parent !== undefined && parent.#inner === this) parent.#inner = undefined;
    this.#resolveDone();
  }
}

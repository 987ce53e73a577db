import type { QueryRunner } from 'typeorm';
import { systemClock, within } from '../core/clock.js';
import { EventsError } from '../core/errors.js';
import { isSubmittable, SerialClient, type PgClient } from './serial-client.js';
import { SerialQueue } from './serial-queue.js';

/** Who opened the transaction: a delivery being handled, or code that asked for it. */
export type TransactionOwner = 'delivery' | 'caller';

export interface TransactionOptions {
  readonly owner: TransactionOwner;
  /** The frame that the running code belongs to. */
  readonly running: () => TransactionFrame | undefined;
}

/** How long something may wait for a savepoint beside it. Only code that waits for itself comes here. */
const MAX_WAIT_MS = 30_000;

/**
 * An open transaction, or a savepoint inside one. Savepoints of PostgreSQL nest and cannot overlap, so those of one
 * frame take turns; and what belongs to the frame itself waits while a savepoint with a body of its own is open, or it
 * would be undone together with that.
 */
export class TransactionFrame {
  readonly #savepoints = new SerialQueue();
  readonly #committed: (() => void)[] = [];
  readonly #pending = new Set<Promise<unknown>>();
  readonly #done: Promise<void>;
  #resolveDone = (): void => undefined;
  #opened: Promise<void> = Promise.resolve();
  #ending: Promise<void> | undefined;
  #inner: TransactionFrame | undefined;
  /** Takes no more savepoints. */
  #closing = false;
  /** Takes no more statements. */
  #ended = false;
  #finished = false;

  private constructor(
    readonly runner: QueryRunner,
    private readonly shared: SharedConnection,
    private readonly nesting: {
      readonly parent?: TransactionFrame;
      readonly hasBody: boolean;
      owner: TransactionOwner;
    },
  ) {
    this.#done = new Promise((resolve) => (this.#resolveDone = resolve));
  }

  static async begin(runner: QueryRunner, options: TransactionOptions): Promise<TransactionFrame> {
    const shared = shareConnection(runner, options.running);
    const frame = new TransactionFrame(runner, shared, { hasBody: true, owner: options.owner });
    shared.onCommit = () => (frame.#ended = true);
    await runner.startTransaction();
    return frame;
  }

  get owner(): TransactionOwner {
    return this.nesting.owner;
  }

  get parent(): TransactionFrame | undefined {
    return this.nesting.parent;
  }

  isWithin(outer: TransactionFrame): boolean {
    return this === outer || this.parent?.isWithin(outer) === true;
  }

  assertOpen(): void {
    if (this.#ended) throw transactionEnded();
  }

  /** A savepoint, once those before it have ended. `hasBody`: what runs in it is known, so all else can wait for it. */
  savepoint(options: { hasBody: boolean }): Promise<TransactionFrame> {
    const child = new TransactionFrame(this.runner, this.shared, { ...options, parent: this, owner: this.owner });
    let gaveUp = false;
    return new Promise((resolve, reject) => {
      const opened = this.#savepoints.run(async () => {
        if (gaveUp) return;
        if (this.#closing) throw transactionEnded();
        this.#inner = child;
        child.#opened = this.runner.startTransaction();
        await child.#opened;
      });
      // The next one's turn comes when this one has ended.
      void this.#savepoints.run(() => (gaveUp || this.#inner !== child ? Promise.resolve() : child.#done));
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

  /** The connection for a query runner that takes part in this frame. */
  async connect(): Promise<PgClient> {
    const client = await this.shared.connect();
    return this.shared.serial.view(client, (args) => {
      if (!isSubmittable(args[0])) return this.#send(client, args);
      this.assertOpen();
      return this.shared.serial.send(client, args);
    });
  }

  /** Keeps the connection to itself while `task` runs. */
  async hold<T>(task: () => Promise<T>): Promise<T> {
    await this.#alone();
    this.assertOpen();
    return this.shared.serial.hold(task);
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
      await this.runner.rollbackTransaction();
    } finally {
      this.#finish();
    }
  }

  async #commit(): Promise<void> {
    this.assertOpen();
    await Promise.allSettled(this.#pending);
    this.#closing = true;
    // A savepoint nobody ended: undone, as a connection given back with an open transaction would be.
    await this.#inner?.rollback();
    await this.runner.commitTransaction();
    const { parent } = this.nesting;
    if (parent === undefined && this.runner.isTransactionActive) throw transactionBusy();
    this.#finish();
    if (parent !== undefined) parent.#committed.push(...this.#committed);
    else if (this.shared.serial.refused) throw transactionAborted(this.shared.serial.failure);
    else for (const callback of this.#committed) callback();
  }

  async #send(client: PgClient, args: unknown[]): Promise<unknown> {
    await this.#alone();
    this.assertOpen();
    return this.shared.serial.send(client, args);
  }

  async #alone(): Promise<void> {
    while (this.#inner?.nesting.hasBody === true) {
      // The body itself, by an outer manager: it would wait for its own end.
      if (this.shared.running()?.isWithin(this.#inner) === true) return;
      if (!(await within(systemClock, MAX_WAIT_MS, this.#inner.#done))) throw transactionBusy();
    }
  }

  #finish(): void {
    this.#closing = this.#ended = this.#finished = true;
    const { parent } = this.nesting;
    if (parent !== undefined && parent.#inner === this) parent.#inner = undefined;
    this.#resolveDone();
  }
}

interface SharedConnection {
  readonly serial: SerialClient;
  readonly connect: () => Promise<PgClient>;
  readonly running: () => TransactionFrame | undefined;
  onCommit: () => void;
}

/** Puts the queue between a query runner and its connection. The runner itself (TypeORM hands it to subscribers) only queues. */
function shareConnection(runner: QueryRunner, running: SharedConnection['running']): SharedConnection {
  const connect = runner.connect.bind(runner) as () => Promise<PgClient>;
  const shared: SharedConnection = { serial: new SerialClient(), connect, running, onCommit: () => undefined };
  runner.connect = async () => {
    const client = await connect();
    return shared.serial.view(client, (args) => {
      // From here on, what still runs in the background would come behind the commit.
      if (args[0] === 'COMMIT') shared.onCommit();
      return shared.serial.send(client, args);
    });
  };
  return shared;
}

function transactionEnded(): EventsError {
  return new EventsError('EVENTS_TRANSACTION_ENDED', 'the transaction this code ran in is over', {
    remedy:
      'Await everything a handler starts before it returns; wrap what is to go on without the transaction in outsideTransaction().',
  });
}

function transactionBusy(): EventsError {
  return new EventsError(
    'EVENTS_TRANSACTION_BUSY',
    `a nested transaction of the same handler has not ended within ${MAX_WAIT_MS / 1000} s`,
    {
      remedy:
        'Nested transactions take turns: do not wait inside one for work begun outside it, and use transaction(callback) rather than startTransaction().',
    },
  );
}

function transactionAborted(cause: unknown): EventsError {
  return new EventsError(
    'EVENTS_TRANSACTION_ABORTED',
    'the transaction could not be committed, because one of its statements had failed',
    {
      cause,
      remedy:
        'PostgreSQL undoes the whole transaction after a failed statement, also when the error was caught: put a statement that may fail into a nested dataSource.transaction().',
    },
  );
}

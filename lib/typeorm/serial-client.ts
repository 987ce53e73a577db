import { SerialQueue } from './serial-queue.js';

/** What is needed of pg's client. */
export interface PgClient {
  query(...args: unknown[]): unknown;
}

const ABORTED = '25P02';

/**
 * The one connection of a transaction, for all that use it at the same time: one statement after another.
 * pg would queue them too, but warns, and refuses from version 9 on.
 */
export class SerialClient {
  readonly #queue = new SerialQueue();
  #failure: unknown;
  #refused = false;

  /** The statement's error that aborted the transaction, unless it was undone by a savepoint; for explanations. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Whether COMMIT ended in a rollback. */
  get refused(): boolean {
    return this.#refused;
  }

  /** The client as a query runner is to see it: its statements go through `send`. */
  view(client: PgClient, send: (args: unknown[]) => unknown): PgClient {
    return Object.create(client, { query: { value: (...args: unknown[]) => send(args) } }) as PgClient;
  }

  send(client: PgClient, args: unknown[]): unknown {
    // Cursors and copy streams are wanted at once, and callbacks want no promise: pg's own queue orders them.
    if (isSubmittable(args[0]) || typeof args.at(-1) === 'function') return client.query(...args);
    return this.#queue.run(() => this.#query(client, args));
  }

  /** Keeps the connection for as long as the task takes: a stream being read, say. */
  hold<T>(task: () => Promise<T>): Promise<T> {
    return this.#queue.run(task);
  }

  async #query(client: PgClient, args: unknown[]): Promise<unknown> {
    try {
      const result = await client.query(...args);
      // n.b. PostgreSQL answers the COMMIT of an aborted transaction with "ROLLBACK", which is no error to pg or TypeORM.
      if (args[0] === 'COMMIT') this.#refused = (result as { command?: unknown }).command === 'ROLLBACK';
      return result;
    } catch (error) {
      if ((error as { code?: unknown }).code !== ABORTED) this.#failure = error;
      throw error;
    }
  }
}

export function isSubmittable(query: unknown): boolean {
  return typeof query === 'object' && query !== null && typeof (query as { submit?: unknown }).submit === 'function';
}

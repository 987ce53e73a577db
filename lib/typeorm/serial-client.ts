import { SerialQueue } from './serial-queue.js';

/** What is needed of pg's client. */
export interface PgClient {
  query(...args: unknown[]): unknown;
}

/** What is needed of pg's answer. */
export interface PgResult {
  readonly command: string;
  readonly rows: unknown[];
}

const ABORTED = '25P02';

/**
 * The one connection of a transaction, for all that use it at the same time: one statement after another.
 * pg would queue them too, but warns, and refuses from version 9 on.
 */
export class SerialClient {
  readonly #queue = new SerialQueue((error) => {
    if ((error as { code?: unknown }).code !== ABORTED) this.#failure = error;
  });
  #failure: unknown;

  constructor(private readonly client: PgClient) {}

  /** The statement's error that aborted the transaction, unless it was undone by a savepoint; for explanations. */
  get failure(): unknown {
    return this.#failure;
  }

  send(args: unknown[]): unknown {
    // Cursors and copy streams are wanted at once, and callbacks want no promise: pg's own queue orders them.
    if (isSubmittable(args[0]) || typeof args.at(-1) === 'function') return this.client.query(...args);
    return this.query(args);
  }

  query(args: unknown[]): Promise<PgResult> {
    return this.#queue.run(() => this.client.query(...args) as Promise<PgResult>);
  }

  /** Keeps the connection for as long as the task takes: a stream being read, say. */
  hold<T>(task: () => Promise<T>): Promise<T> {
    return this.#queue.run(task);
  }

  /**
   * The client as a query runner is to see it: its statements go through `send`. n.b. it does not inherit from the
   * client: V8 treats what others inherit from as a class, and pg's client, which changes all the time, becomes slow.
   */
  view(send: (args: unknown[]) => unknown): PgClient {
    const query = (...args: unknown[]): unknown => send(args);
    return new Proxy(this.client, {
      get: (client, name) => (name === 'query' ? query : (Reflect.get(client, name, client) as unknown)),
    });
  }
}

export function isSubmittable(query: unknown): boolean {
  return typeof query === 'object' && query !== null && typeof (query as { submit?: unknown }).submit === 'function';
}

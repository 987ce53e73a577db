import type { DataSource } from 'typeorm';
import { sleep, type Clock } from '../core/clock.js';
import { doubled } from '../core/doubling.js';
import { messageOf } from '../core/errors.js';
import { printable, type EventsLogger } from '../core/logger.js';

export interface ListenTools {
  readonly dataSource: DataSource;
  readonly channel: string;
  readonly clock: Clock;
  readonly logger: EventsLogger;
  /** `undefined`: something may have been missed. */
  readonly heard: (transports: readonly string[] | undefined) => void;
}

/** What is needed of pg's client. */
interface ListeningClient {
  connect(): Promise<void>;
  query(sql: string): Promise<unknown>;
  end(): Promise<void>;
  on(event: 'notification', listener: (notification: { readonly payload?: string }) => void): unknown;
  on(event: 'error' | 'end', listener: (error?: Error) => void): unknown;
}

interface PgPool {
  readonly Client: new (options: unknown) => ListeningClient;
  readonly options: object;
}

const FIRST_BACKOFF_MS = 500;
const LONGEST_BACKOFF_MS = 30_000;

/** Listens for NOTIFY on a connection of its own, outside the pool, until the returned function is called; reconnects. */
export function listen(tools: ListenTools): () => Promise<void> {
  const stopping = new AbortController();
  const running = keepListening(tools, stopping.signal);
  return async () => {
    stopping.abort();
    await running;
  };
}

async function keepListening(tools: ListenTools, signal: AbortSignal): Promise<void> {
  const { clock, logger } = tools;
  for (let failures = 0; !signal.aborted;) {
    try {
      await listenOnce(tools, signal, () => (failures = 0));
    } catch (error) {
      const afterMs = doubled(FIRST_BACKOFF_MS, failures++, LONGEST_BACKOFF_MS);
      logger.warn(
        `the outbox does not hear of commits elsewhere and polls, next try in ${afterMs} ms: ${printable(messageOf(error))}`,
      );
      await sleep(clock, afterMs, signal);
    }
  }
}

/** Resolves when the signal aborts, rejects when the connection is lost. */
async function listenOnce(
  { dataSource, channel, heard }: ListenTools,
  signal: AbortSignal,
  up: () => void,
): Promise<void> {
  const { master: pool } = dataSource.driver as unknown as { readonly master: PgPool };
  // With what the pool itself connects with: TLS, a password from a function, and all.
  const client = new pool.Client({ ...pool.options, keepAlive: true });
  const lost = new Promise<never>((_, reject) => {
    client.on('error', (error) => reject(error ?? new Error('the connection is lost')));
    client.on('end', () => reject(new Error('the connection has ended')));
  });
  lost.catch(() => undefined);
  const stopped = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  client.on('notification', ({ payload }) => heard(transportsIn(payload)));
  try {
    await Promise.race([client.connect(), lost, stopped]);
    await Promise.race([client.query(`LISTEN "${channel}"`), lost, stopped]);
    up();
    heard(undefined);
    await Promise.race([lost, stopped]);
  } finally {
    await client.end().catch(() => undefined);
  }
}

function transportsIn(payload: string | undefined): readonly string[] | undefined {
  try {
    const transports = JSON.parse(payload ?? '') as unknown;
    return Array.isArray(transports) ? transports.map(String) : undefined;
  } catch {
    return undefined;
  }
}

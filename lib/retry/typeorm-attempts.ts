import { messageOf } from '../core/errors.js';
import { printable } from '../core/logger.js';
import type { StoreEnvironment } from '../core/store.js';
import { StoreDatabase, type TypeormStoreOptions } from '../typeorm/store-database.js';
import type { AttemptLog, AttemptLogDefinition, LoggedAttempt } from './attempt-log.js';
import { hasEnded, thisProcess, type AppIdentity, type ProcessIdentity } from './this-process.js';

/** How often a process says that it lives. */
const HEARTBEAT_MS = 10_000;
/** One of another host, from which so long nothing was heard, is taken for ended. By the database's clock. */
const SILENT = '60 seconds';
/** More of one service are not kept: a process that cannot even start leaves a row each time. */
const MAX_LOST = 20;
/** What became of an attempt that somebody else has taken over is not known: after so long it does not matter. */
const ATTEMPTS_KEPT = '7 days';

/**
 * Finds the event that ends the process, in the tables `processes` and `delivery_attempts` of the application's own
 * PostgreSQL. Nothing is written for an event unless an earlier process has ended uncleanly.
 */
export function typeormAttempts(options: TypeormStoreOptions = {}): AttemptLogDefinition {
  return {
    create: (environment) =>
      new TypeormAttempts(new StoreDatabase(options, environment, 'attempts'), environment, thisProcess()),
  };
}

interface ProcessRow extends ProcessIdentity {
  readonly id: string;
  readonly silent: boolean;
}

export class TypeormAttempts implements AttemptLog {
  #service = '';
  #lost: readonly string[] = [];
  #beating: Promise<unknown> = Promise.resolve();
  #stopHeartbeat = (): void => undefined;

  constructor(
    private readonly database: StoreDatabase,
    private readonly environment: StoreEnvironment,
    private readonly self: AppIdentity,
  ) {}

  async prepare(): Promise<void> {
    await this.database.open();
  }

  async open(service: string): Promise<number> {
    this.#service = service;
    await this.#sayThatItLives();
    this.#beat();
    await this.#markLost(await this.#ended());
    await this.#prune();
    const { schema } = this.database;
    const lost = await this.#query<{ id: string }>(
      `SELECT id FROM ${schema}.processes WHERE service = $1 AND lost_at IS NOT NULL AND id <> $2`,
      [service, this.self.id],
    );
    this.#lost = lost.map(({ id }) => id);
    return lost.length;
  }

  async begin({ consumer, delivery }: LoggedAttempt): Promise<number> {
    const { schema } = this.database;
    // Those of processes that live are not counted: another may have the event after a rebalance.
    const [row] = await this.#query<{ ended: number }>(
      `WITH begun AS (
         INSERT INTO ${schema}.delivery_attempts (consumer, delivery, process) VALUES ($1, $2, $3)
         ON CONFLICT (consumer, delivery, process) DO UPDATE SET begun_at = now()
       )
       SELECT count(*)::int AS ended FROM ${schema}.delivery_attempts AS attempt
       WHERE consumer = $1 AND delivery = $2 AND process <> $3 AND NOT EXISTS (
         SELECT FROM ${schema}.processes WHERE id = attempt.process AND lost_at IS NULL)`,
      [consumer, delivery, this.self.id],
    );
    return row?.ended ?? 0;
  }

  async end({ consumer, delivery }: LoggedAttempt): Promise<void> {
    await this.#query(
      `DELETE FROM ${this.database.schema}.delivery_attempts WHERE consumer = $1 AND delivery = $2 AND process = $3`,
      [consumer, delivery, this.self.id],
    );
  }

  async forget({ consumer, delivery }: LoggedAttempt): Promise<void> {
    await this.#query(`DELETE FROM ${this.database.schema}.delivery_attempts WHERE consumer = $1 AND delivery = $2`, [
      consumer,
      delivery,
    ]);
  }

  async lookedAfter(): Promise<void> {
    const lost = this.#lost;
    this.#lost = [];
    if (lost.length === 0) return;
    await this.#query(`DELETE FROM ${this.database.schema}.processes WHERE id = ANY($1) AND lost_at IS NOT NULL`, [
      lost,
    ]);
  }

  async close(): Promise<void> {
    this.#stopHeartbeat();
    if (this.#service === '' || !this.database.isOpen) return;
    await this.#beating;
    const { schema } = this.database;
    await this.#query(
      `WITH attempts AS (DELETE FROM ${schema}.delivery_attempts WHERE process = $1)
       DELETE FROM ${schema}.processes WHERE id = $1`,
      [this.self.id],
    );
  }

  release(): void {
    this.#stopHeartbeat();
    this.database.close();
  }

  async #ended(): Promise<string[]> {
    const others = await this.#query<ProcessRow>(
      `SELECT id, host, pid, origin::float8 AS origin, seen_at < now() - interval '${SILENT}' AS silent
       FROM ${this.database.schema}.processes WHERE service = $1 AND id <> $2 AND lost_at IS NULL`,
      [this.#service, this.self.id],
    );
    return others.filter((other) => hasEnded(other, this.self) ?? other.silent).map(({ id }) => id);
  }

  async #markLost(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    await this.#query(`UPDATE ${this.database.schema}.processes SET lost_at = now() WHERE id = ANY($1)`, [ids]);
  }

  async #prune(): Promise<void> {
    const { schema } = this.database;
    await this.#query(
      `DELETE FROM ${schema}.processes WHERE id IN (
         SELECT id FROM ${schema}.processes WHERE service = $1 AND lost_at IS NOT NULL
         ORDER BY started_at DESC OFFSET ${MAX_LOST})`,
      [this.#service],
    );
    await this.#query(`DELETE FROM ${schema}.delivery_attempts WHERE begun_at < now() - interval '${ATTEMPTS_KEPT}'`);
  }

  /** Also where it was taken for ended by mistake. */
  async #sayThatItLives(): Promise<void> {
    const { id, host, pid, origin } = this.self;
    await this.#query(
      `INSERT INTO ${this.database.schema}.processes (id, service, host, pid, origin) VALUES ($1, $2, $3, $4, $5)
       ON CONFLICT (id) DO UPDATE SET seen_at = now(), lost_at = NULL`,
      [id, this.#service, host, pid, origin],
    );
  }

  #beat(): void {
    const { clock, logger } = this.environment;
    this.#stopHeartbeat = clock.after(HEARTBEAT_MS, () => {
      this.#beat();
      this.#beating = this.#sayThatItLives().catch((error: unknown) =>
        logger.debug(`that this process lives could not be written down: ${printable(messageOf(error))}`),
      );
    });
  }

  /** Never in a handler's transaction: it would be undone with it. */
  #query<T>(sql: string, parameters: readonly unknown[] = []): Promise<T[]> {
    const { context, dataSource } = this.database;
    return context.outside(() => dataSource.query<T[]>(sql, [...parameters]));
  }
}

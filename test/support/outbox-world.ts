import type { DataSource } from 'typeorm';
import { createEnvelope } from '../../lib/core/envelope.js';
import type {
  OutboxEntry,
  OutboxStore,
  Relayed,
  RelayRequest,
  RelayResult,
  TakenEntry,
} from '../../lib/outbox/outbox-store.js';
import { typeormOutbox, type TypeormOutboxOptions } from '../../lib/typeorm.js';
import { TypeormWorld } from './typeorm-world.js';

export const NAME = 'orders.order.placed';
export const PUBLISHED: Relayed = { type: 'published' };
export const LEFT: Relayed = { type: 'left' };
export const failed = (retryAfterMs: number): Relayed => ({ type: 'failed', error: 'refused', retryAfterMs });
export const PARKED: Relayed = { type: 'parked', error: 'refused' };

export function entry(data: unknown, key?: string, rest: Partial<OutboxEntry> = {}): OutboxEntry {
  const envelope = createEnvelope({ name: NAME, source: 'shop', data, ...(key === undefined ? {} : { key }) });
  return { envelope, transport: 'kafka', ...rest };
}

type Answer = (data: unknown, entry: TakenEntry) => Relayed | Promise<Relayed>;

/** Outboxes on one schema, and relays that a test holds in its hand. */
export class OutboxWorld {
  private constructor(
    readonly typeorm: TypeormWorld,
    readonly store: OutboxStore,
  ) {}

  static async open(url: string, options: TypeormOutboxOptions = {}): Promise<OutboxWorld> {
    const typeorm = await TypeormWorld.open(url);
    return new OutboxWorld(typeorm, await open(typeorm, { dataSource: typeorm.dataSource, ...options }));
  }

  get dataSource(): DataSource {
    return this.typeorm.dataSource;
  }

  get table(): string {
    return `${this.typeorm.schema}.outbox`;
  }

  /** The outbox of another process. */
  async another(options: TypeormOutboxOptions = {}): Promise<OutboxStore> {
    return open(this.typeorm, { dataSource: await this.typeorm.connect(), ...options });
  }

  enrol(...entries: OutboxEntry[]): Promise<void> {
    return this.store.transactional(() => this.store.enrol(entries));
  }

  /** One batch; `answer` says what becomes of each entry, in order within a line as the relay would ask. */
  async relay(answer: Answer = () => PUBLISHED, rest: Partial<RelayRequest> & { store?: OutboxStore } = {}) {
    const { store = this.store, ...request } = rest;
    const seen: unknown[] = [];
    const result: RelayResult = await store.relay({
      transport: 'kafka',
      limit: 100,
      leaseMs: 60_000,
      publish: async (entries) => {
        const stopped = new Set<string>();
        const results: Relayed[] = [];
        for (const each of entries) {
          const goesOn = each.line === undefined || !stopped.has(each.line);
          const { data } = each.read();
          if (goesOn) seen.push(data);
          const relayed = goesOn ? await answer(data, each) : LEFT;
          if (relayed.type !== 'published' && each.line !== undefined) stopped.add(each.line);
          results.push(relayed);
        }
        return results;
      },
      ...request,
    });
    return { ...result, seen };
  }

  /** Relays until nothing is due; the data of what was published, in order. */
  async drain(stores: readonly OutboxStore[] = [this.store], limit = 7): Promise<unknown[]> {
    const published: unknown[] = [];
    const answer: Answer = (data) => {
      published.push(data);
      return PUBLISHED;
    };
    for (;;) {
      const results = await Promise.all(stores.map((store) => this.relay(answer, { store, limit })));
      if (results.every(({ taken, more }) => taken === 0 && !more)) return published;
    }
  }

  /** Lets all waits be over. */
  async timePasses(): Promise<void> {
    await this.typeorm.rows(`UPDATE ${this.table} SET not_before = now() WHERE not_before IS NOT NULL`);
  }

  async states(): Promise<Record<string, string>> {
    const rows = await this.typeorm.rows<{ data: unknown; state: string }>(
      `SELECT envelope->'data' AS data, state FROM ${this.table} ORDER BY position`,
    );
    return Object.fromEntries(rows.map(({ data, state }) => [String(data), state]));
  }

  close(): Promise<void> {
    return this.typeorm.close();
  }
}

async function open(world: TypeormWorld, options: TypeormOutboxOptions): Promise<OutboxStore> {
  const store = typeormOutbox({ schema: world.schema, ...options }).create(world.environment());
  await store.prepare();
  return store;
}

import type { DataSource } from 'typeorm';
import type { DeadLetterStore } from '../../lib/dead-letter/dead-letter-store.js';
import { typeormDeadLetters } from '../../lib/typeorm.js';
import { TypeormWorld } from './typeorm-world.js';

/** Stores of dead letters on tables of the test's own, which go with it. */
export class DeadLettersWorld {
  readonly schema: string;
  readonly #stores: DeadLetterStore[] = [];

  private constructor(readonly database: TypeormWorld) {
    this.schema = `${database.schema}_events`;
  }

  static async open(url: string): Promise<DeadLettersWorld> {
    const world = new DeadLettersWorld(await TypeormWorld.open(url));
    await world.on(world.database.dataSource);
    return world;
  }

  /** The first one. */
  get store(): DeadLetterStore {
    return this.#stores[0] as DeadLetterStore;
  }

  /** One with connections of its own, as another process has it. */
  async another(): Promise<DeadLetterStore> {
    return this.on(await this.database.connect());
  }

  async on(dataSource: DataSource): Promise<DeadLetterStore> {
    const store = typeormDeadLetters({ schema: this.schema, dataSource }).create(this.database.environment());
    await store.prepare();
    this.#stores.push(store);
    return store;
  }

  async close(): Promise<void> {
    for (const store of this.#stores) store.close?.();
    await this.database.rows(`DROP SCHEMA ${this.schema} CASCADE`);
    await this.database.close();
  }
}

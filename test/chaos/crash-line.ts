import type { Transport } from '../../lib/core/transport.js';
import { eventually } from '../support/eventually.js';
import { NodeChild, type ChildReport } from '../support/node-child.js';
import type { Random } from '../support/random.js';
import type { TestDatabase } from '../support/databases.js';
import { subscriptionOf } from '../support/test-consumer.js';
import type { TestTransport } from '../support/transport-world.js';

/** Where the consumer dies: the steps of a delivery, then those of the relay. */
export const STEPS = [
  'before the insert of the id',
  'after the insert of the id',
  'in the handler',
  'before COMMIT',
  'after COMMIT, before the acknowledgement',
  'in the relay, before the send',
  'in the relay, after the send, before the delete',
] as const;
export type Step = (typeof STEPS)[number];

/** There is a delivery at these steps, which comes again after a crash. */
export const STEPS_OF_DELIVERY: readonly Step[] = STEPS.filter((step) => !step.startsWith('in the relay'));
/** A batch comes to these once, however many events it has. */
const STEPS_OF_BATCH: readonly Step[] = ['before the insert of the id', 'after the insert of the id', 'before COMMIT'];

const SCRIPT = 'test/chaos/children/crashing-consumer.child.mjs';
const EVENTS_PER_LIFE = 8;
/** So that there are two of them at least. */
const BATCH_SIZE = 5;
const KEYS = ['a', 'b', 'c', 'd'];
/** A killed member of a Kafka group is missed for its session: 6 s. */
const CRASH_DEADLINE_MS = 90_000;

/** One line of the matrix: a step, its own events, consumer, queue and tables of the library. */
export interface LineOptions {
  readonly step: Step;
  readonly idempotent: boolean;
  /** Whether its handler takes batches. */
  readonly batch: boolean;
  /** The domain of its events, its service and the name of its schema. */
  readonly line: string;
  readonly crashes: number;
}

export interface LineWorld {
  readonly random: Random;
  readonly database: TestDatabase;
  /** To publish the orders with. */
  readonly publisher: TestTransport;
  /** How the child reaches the broker. */
  readonly transport: { readonly kind: Transport['kind']; readonly options: unknown };
}

/** Ids of events: for each effect too many, and of those that had none. */
export interface Effects {
  readonly duplicates: readonly string[];
  readonly lost: readonly string[];
}

export interface LineResult {
  readonly events: number;
  readonly crashes: number;
  /** How often an event was delivered that had been delivered before. */
  readonly redelivered: number;
  readonly orders: Effects;
  readonly mails: Effects;
}

interface Report extends ChildReport {
  readonly step: 'ready' | 'delivered' | 'crash';
  readonly point?: string;
  readonly id?: string;
}

/** Runs a consumer that dies at its step, is started again, and dies again; then one that lives until all is done. */
export class CrashLine {
  readonly #published: string[] = [];
  readonly #delivered: string[] = [];
  #crashes = 0;

  constructor(
    private readonly options: LineOptions,
    private readonly world: LineWorld,
  ) {}

  async run(): Promise<LineResult> {
    const { line, crashes } = this.options;
    const patterns = [`${line}.order.placed`];
    await this.world.publisher.transport.declare([subscriptionOf({ group: line, id: 'place', patterns })]);
    while (this.#crashes < crashes) await this.#dieOnce();
    await this.#live();
    const redelivered = this.#delivered.length - new Set(this.#delivered).size;
    return {
      ...{ events: this.#published.length, crashes: this.#crashes, redelivered },
      orders: await this.#effects('effects'),
      mails: await this.#effects('mails'),
    };
  }

  /** Several events wait for it when it starts. Each of them comes to the step, so that the nth of them does. */
  async #dieOnce(): Promise<void> {
    const { step, batch } = this.options;
    await this.#publish(EVENTS_PER_LIFE);
    const times = batch && STEPS_OF_BATCH.includes(step) ? 2 : EVENTS_PER_LIFE;
    const child = this.#start({ step, at: this.world.random.between(1, times) });
    try {
      const what = `a crash ${step} (${this.options.line})`;
      await eventually(() => child.hasEnded, { what, deadlineMs: CRASH_DEADLINE_MS }).catch((error: unknown) => {
        throw new Error(`${String(error)}\n${child.errors}`, { cause: error });
      });
      await child.killed();
    } finally {
      await child.kill();
      this.#collect(child);
    }
    if (child.reports.at(-1)?.point !== step) throw new Error(`it was killed, but not ${step}`);
    this.#crashes++;
  }

  /** The last events of each key come behind all that may still be under way: when their effects are there, all are. */
  async #live(): Promise<void> {
    const child = this.#start(undefined);
    try {
      await child.reaches((reports) => reports.some(({ step }) => step === 'ready'), 'a consumer that is ready');
      await this.#publish(KEYS.length);
      await eventually(async () => (await this.#effects('mails')).lost.length === 0, { deadlineMs: 60_000 }).catch(
        () => undefined, // what is missing is told by the result
      );
    } finally {
      await child.kill();
      this.#collect(child);
    }
  }

  #start(crash: { step: Step; at: number } | undefined): NodeChild<Report> {
    const { line, idempotent, batch } = this.options;
    const { transport, database } = this.world;
    return new NodeChild(SCRIPT, {
      ...{ line, idempotent, crash, transport, databaseUrl: database.url },
      schema: line.replaceAll('-', '_'),
      batchSize: batch ? BATCH_SIZE : undefined,
    });
  }

  #collect(child: NodeChild<Report>): void {
    for (const { step, id } of child.reports) if (step === 'delivered' && id !== undefined) this.#delivered.push(id);
  }

  async #publish(count: number): Promise<void> {
    const { publisher } = this.world;
    const published = Array.from({ length: count }, (_, n) =>
      publisher.publish(`${this.options.line}.order.placed`, {}, { key: KEYS[n % KEYS.length] ?? '' }),
    );
    for (const { id } of await Promise.all(published)) this.#published.push(id);
  }

  async #effects(table: 'effects' | 'mails'): Promise<Effects> {
    const rows = await this.world.database.query<{ event: string; count: number }>(
      `SELECT event, count(*)::int AS count FROM ${table} WHERE line = '${this.options.line}' GROUP BY event`,
    );
    const counts = new Map(rows.map(({ event, count }) => [event, count]));
    return {
      duplicates: rows.flatMap(({ event, count }) => Array.from({ length: count - 1 }, () => event)),
      lost: this.#published.filter((id) => !counts.has(id)),
    };
  }
}

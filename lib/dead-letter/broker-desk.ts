import type { DeadLetter } from '../core/dead-letter.js';
import { EventsError } from '../core/errors.js';
import type { TransportRegistry } from '../core/transport-registry.js';
import {
  behind,
  cursorOf,
  ownersFor,
  placesOf,
  readLetters,
  type BrokerLetter,
  type KnownHandler,
} from './broker-letters.js';
import { BrokerRedrive, type BrokerRedriveTools } from './broker-redrive.js';
import { letterNotFound, redriveNotFound, wrongState } from './dead-letter-errors.js';
import type {
  DeadLetterAction,
  DeadLetterDesk,
  DeadLetterCriteria,
  DeadLetterPage,
  DeadLetterPageRequest,
  Redrive,
  RedrivePage,
  RedriveRequest,
  RedriveResultPage,
  StoredDeadLetter,
} from './dead-letter-store.js';

export interface BrokerDeskTools extends BrokerRedriveTools {
  readonly transports: TransportRegistry;
  /** The handlers of this process. */
  readonly handlers: () => readonly KnownHandler[];
}

const DEFAULT_PAGE = 100;
/** How many redrives that are over are remembered. */
const MAX_OVER = 100;

/** Dead letters where the brokers have them, without a database: redriven by this process, for the handlers that it has. */
export class BrokerDesk implements DeadLetterDesk {
  readonly #redrives = new Map<string, BrokerRedrive>();
  readonly #running = new Set<Promise<void>>();
  #closed = false;

  constructor(private readonly tools: BrokerDeskTools) {}

  async list(filter: DeadLetterCriteria, page: DeadLetterPageRequest): Promise<DeadLetterPage> {
    const letters = behind(await this.#read(filter), page.after);
    const limit = page.limit ?? DEFAULT_PAGE;
    const items = letters.slice(0, limit).map(({ letter }) => this.#stored(letter));
    const last = items.at(-1);
    return last !== undefined && letters.length > limit ? { items, next: cursorOf(last) } : { items };
  }

  async count(filter: DeadLetterCriteria): Promise<number> {
    return (await this.#read(filter)).length;
  }

  async get(id: string): Promise<StoredDeadLetter | undefined> {
    const [found] = await this.#read({ ids: [id] });
    return found === undefined ? undefined : this.#stored(found.letter);
  }

  /** Brokers keep none. */
  async history(): Promise<readonly DeadLetterAction[]> {
    return [];
  }

  async request(filter: DeadLetterCriteria, request: RedriveRequest): Promise<Redrive> {
    this.#assertHandler(filter);
    const letters = await this.#read({ ...filter, state: 'waiting' });
    for (const { letter } of letters) this.#assertHandler(letter);
    // Another call may have taken some of them while this one read.
    return this.#start(
      letters.filter(({ letter }) => this.#stateOf(letter) === 'waiting'),
      request,
    );
  }

  async replace(id: string, edited: DeadLetter, request: RedriveRequest): Promise<Redrive> {
    const [found] = await this.#read({ ids: [id] });
    if (found === undefined) throw letterNotFound(id);
    if (this.#stateOf(found.letter) !== 'waiting') throw wrongState(this.#stored(found.letter));
    this.#assertHandler(found.letter);
    await found.transport.writeDeadLetter(edited);
    await this.#remove([found]);
    return this.#start([{ letter: edited, transport: found.transport }], request);
  }

  async redrive(id: string): Promise<Redrive | undefined> {
    return this.#redrives.get(id)?.describe();
  }

  async redrives({ limit = DEFAULT_PAGE, after }: DeadLetterPageRequest): Promise<RedrivePage> {
    const all = [...this.#redrives.values()];
    const rest = all.slice(after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1);
    const items = rest.slice(0, limit).map((each) => each.describe());
    return { items, ...nextOf(rest.length > limit, items.at(-1)?.id) };
  }

  async results(redriveId: string, { limit = DEFAULT_PAGE, after }: DeadLetterPageRequest): Promise<RedriveResultPage> {
    const all = this.#redrives.get(redriveId)?.results ?? [];
    const rest = all.slice(after === undefined ? 0 : all.findIndex(({ letter }) => letter === after) + 1);
    const items = rest.slice(0, limit);
    return { items, ...nextOf(rest.length > limit, items.at(-1)?.letter) };
  }

  async abort(redriveId: string): Promise<Redrive> {
    const redrive = this.#redrives.get(redriveId);
    if (redrive === undefined) throw redriveNotFound(redriveId);
    redrive.abort();
    return redrive.describe();
  }

  async discard(filter: DeadLetterCriteria): Promise<number> {
    return this.#remove(await this.#read({ ...filter, state: 'waiting' }));
  }

  /** Aborts what has not begun; resolves when nothing runs. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const redrive of this.#redrives.values()) redrive.abort();
    await Promise.all(this.#running);
  }

  #start(letters: readonly BrokerLetter[], request: RedriveRequest): Redrive {
    const redrive = new BrokerRedrive(letters, request, this.tools);
    this.#redrives.set(redrive.id, redrive);
    if (this.#closed) redrive.abort();
    const running = redrive.start().finally(() => this.#running.delete(running));
    this.#running.add(running);
    this.#forgetOld();
    return redrive.describe();
  }

  #forgetOld(): void {
    const over = [...this.#redrives.values()].filter((each) => each.describe().state !== 'running');
    for (const { id } of over.slice(0, Math.max(0, over.length - MAX_OVER))) this.#redrives.delete(id);
  }

  /** Returns how many there were. */
  async #remove(letters: readonly BrokerLetter[]): Promise<number> {
    const asked = new Set(letters.map(({ letter, transport }) => JSON.stringify([transport.name, letter.id])));
    const removed = new Set<string>();
    for (const { transport, group, handler } of placesOf(letters)) {
      await transport.takeDeadLetters({
        ...{ group, handler, signal: new AbortController().signal },
        visit: async (letter) => {
          if (!asked.has(JSON.stringify([transport.name, letter.id])) || this.#stateOf(letter) !== 'waiting')
            return 'keep';
          removed.add(letter.id);
          return 'remove';
        },
      });
    }
    return removed.size;
  }

  async #read(filter: DeadLetterCriteria): Promise<readonly BrokerLetter[]> {
    const owners = ownersFor(filter, this.tools.handlers());
    const letters = await readLetters(filter, owners, this.tools.transports);
    if (filter.state === undefined) return letters;
    const states = new Set([filter.state].flat());
    return letters.filter(({ letter }) => states.has(this.#stateOf(letter)));
  }

  #stored(letter: DeadLetter): StoredDeadLetter {
    const partOf = [...this.#redrives.values()].filter((redrive) => redrive.resultOf(letter.id) !== undefined);
    const latest = partOf.at(-1);
    return {
      ...letter,
      state: this.#stateOf(letter),
      storedAt: letter.lastFailureAt,
      redrives: partOf.filter((redrive) => redrive.resultOf(letter.id)?.at !== undefined).length,
      ...(latest === undefined ? {} : { redriveId: latest.id }),
    };
  }

  #stateOf({ id }: DeadLetter): 'waiting' | 'requested' | 'running' {
    for (const redrive of this.#redrives.values()) {
      const state = redrive.stateOf(id);
      if (state !== undefined) return state;
    }
    return 'waiting';
  }

  /** Only the process that has the handler can redrive without a store. */
  #assertHandler({ group, handler }: Pick<DeadLetterCriteria, 'group' | 'handler'>): void {
    if (group === undefined || handler === undefined) return;
    const known = this.tools.handlers();
    if (known.some((each) => each.group === group && [each.handler, ...each.aliases].includes(handler))) return;
    throw new EventsError(
      'EVENTS_DEAD_LETTER_STORE_MISSING',
      `the handler does not run in this process (group "${group}"), and without a store nobody else can be asked`,
      {
        handler,
        remedy:
          'Add deadLetters: { store: typeormDeadLetters() } to both applications, or redrive in the one that has the handler.',
      },
    );
  }
}

function nextOf(more: boolean, next: string | undefined): { next?: string } {
  return more && next !== undefined ? { next } : {};
}

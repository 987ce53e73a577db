import type { Report } from '../core/activity.js';
import { sleep, type Clock } from '../core/clock.js';
import type { Delivery, RawEvent } from '../core/delivery.js';
import type { TransportRegistry } from '../core/transport-registry.js';
import { edited, type DeadLetterEdit } from './dead-letter-edit.js';
import { letterNotFound, redriveNotFound, wrongState } from './dead-letter-errors.js';
import { toLine } from './dead-letter-export.js';
import {
  checkFilter,
  checkId,
  checkOperator,
  checkPage,
  checkRequest,
  filterOf,
  type DeadLetterSelection,
} from './dead-letter-inputs.js';
import type {
  DeadLetterAction,
  DeadLetterDesk,
  DeadLetterCriteria,
  DeadLetterPage,
  DeadLetterPageRequest,
  Operator,
  Redrive,
  RedrivePage,
  RedriveRequest,
  RedriveResultPage,
  StoredDeadLetter,
} from './dead-letter-store.js';

/** A dead letter with all that was done about it, oldest first. Without a store there is no history. */
export interface DeadLetterWithHistory extends StoredDeadLetter {
  readonly history: readonly DeadLetterAction[];
}

/** What a redrive would take, which nothing has happened to. */
export interface RedrivePreview {
  readonly count: number;
  /** The first of them. */
  readonly items: readonly StoredDeadLetter[];
}

export interface DeadLetterServiceTools {
  readonly desk: DeadLetterDesk;
  readonly transports: TransportRegistry;
  /** The `source` of edited events that have none. */
  readonly service: string;
  readonly clock: Clock;
  readonly report: Report;
  /** Called when something was requested: whoever redrives in this process need not wait for the next poll. */
  readonly requested: () => void;
}

/** Bodies may have a megabyte each. */
const EXPORT_PAGE = 50;
const PROGRESS_EVERY_MS = 250;

/**
 * What operators do with dead letters: see, redrive, edit, discard. With `deadLetters: { store }` it works on the
 * database, from any process and for all of them; without, on the brokers, for the handlers of this process.
 * Every call throws EVENTS_DEAD_LETTER_INVALID for something it cannot use.
 */
export class DeadLetterService {
  constructor(private readonly tools: DeadLetterServiceTools) {}

  /** Oldest first, those that are not done with; without a store the oldest 10,000 of each handler are looked at. */
  async list(filter: DeadLetterCriteria = {}, page: DeadLetterPageRequest = {}): Promise<DeadLetterPage> {
    return this.tools.desk.list(checkFilter(filter), checkPage(page));
  }

  async count(filter: DeadLetterCriteria = {}): Promise<number> {
    return this.tools.desk.count(checkFilter(filter));
  }

  /** Throws EVENTS_DEAD_LETTER_NOT_FOUND. */
  async get(id: string): Promise<DeadLetterWithHistory> {
    const letter = await this.#letter(id);
    return { ...letter, history: await this.tools.desk.history(id) };
  }

  /**
   * Hands dead letters to their handlers again, those that are waiting: in order per key, each to the handler in which it
   * failed and to no other. Resolves when it is requested; see {@link progress}. With `dryRun` nothing happens, and it
   * tells what would. Of a single id it throws EVENTS_DEAD_LETTER_NOT_FOUND or EVENTS_DEAD_LETTER_STATE.
   * Without a store the handlers have to run in this process, or it throws EVENTS_DEAD_LETTER_STORE_MISSING.
   */
  redrive(selection: DeadLetterSelection, request: RedriveRequest & { readonly dryRun: true }): Promise<RedrivePreview>;
  redrive(selection: DeadLetterSelection, request: RedriveRequest & { readonly dryRun?: false }): Promise<Redrive>;
  async redrive(
    selection: DeadLetterSelection,
    request: RedriveRequest & { readonly dryRun?: boolean },
  ): Promise<Redrive | RedrivePreview> {
    const filter = filterOf(selection);
    const checked = checkRequest(request);
    if (typeof selection === 'string') await this.#waiting(selection);
    if (request.dryRun === true) return this.#preview(filter);
    const redrive = await this.tools.desk.request(filter, checked);
    this.tools.requested();
    return redrive;
  }

  /**
   * Puts an event with a new id in the place of the old one, which becomes its causation id, and redrives it.
   * Throws EVENTS_DEAD_LETTER_NOT_FOUND, EVENTS_DEAD_LETTER_STATE.
   */
  async editAndRedrive(id: string, edit: DeadLetterEdit, request: RedriveRequest): Promise<Redrive> {
    const checked = checkRequest(request);
    const letter = await this.#waiting(id);
    const content = this.#decode(letter.original);
    const replacement = edited({ letter, edit, content, service: this.tools.service });
    const redrive = await this.tools.desk.replace(id, replacement, checked);
    this.tools.requested();
    return redrive;
  }

  /** Where a redrive stands. Throws EVENTS_REDRIVE_NOT_FOUND. */
  async redriveOf(redriveId: string): Promise<Redrive> {
    const redrive = await this.tools.desk.redrive(checkId(redriveId, 'the redrive'));
    if (redrive !== undefined) return redrive;
    throw redriveNotFound(redriveId);
  }

  /** Oldest first. */
  async redrives(page: DeadLetterPageRequest = {}): Promise<RedrivePage> {
    return this.tools.desk.redrives(checkPage(page));
  }

  /** What became of each dead letter of a redrive. Throws EVENTS_REDRIVE_NOT_FOUND. */
  async results(redriveId: string, page: DeadLetterPageRequest = {}): Promise<RedriveResultPage> {
    await this.redriveOf(redriveId);
    return this.tools.desk.results(redriveId, checkPage(page));
  }

  /** Where a redrive stands, each time that has changed, until it is over. Throws EVENTS_REDRIVE_NOT_FOUND. */
  async *progress(redriveId: string): AsyncIterable<Redrive> {
    let told: string | undefined;
    for (;;) {
      const redrive = await this.redriveOf(redriveId);
      const now = JSON.stringify(redrive);
      if (now !== told) yield redrive;
      // What ran when it was aborted comes to its end.
      if (redrive.state !== 'running' && redrive.pending === 0) return;
      told = now;
      await sleep(this.tools.clock, PROGRESS_EVERY_MS);
    }
  }

  /** What has not begun is waiting again; what runs comes to its end. Throws EVENTS_REDRIVE_NOT_FOUND. */
  async abort(redriveId: string, operator: Operator): Promise<Redrive> {
    return this.tools.desk.abort(checkId(redriveId, 'the redrive'), checkOperator(operator));
  }

  /**
   * Done with, without an effect: those that are waiting. Returns how many. Of a single id it throws
   * EVENTS_DEAD_LETTER_NOT_FOUND or EVENTS_DEAD_LETTER_STATE.
   */
  async discard(selection: DeadLetterSelection, operator: Operator): Promise<number> {
    const filter = filterOf(selection);
    const { by, note } = checkOperator(operator);
    if (typeof selection === 'string') await this.#waiting(selection);
    const count = await this.tools.desk.discard(filter, { by, ...(note === undefined ? {} : { note }) });
    if (count > 0) this.tools.report({ type: 'dead-letters-discarded', count, by });
    // What followed a discarded one may go on.
    this.tools.requested();
    return count;
  }

  /**
   * Each dead letter as a line of NDJSON. Body, key and headers are exact: text as text, other bytes as
   * `{ "base64": "…" }`.
   */
  async *export(filter: DeadLetterCriteria = {}): AsyncIterable<string> {
    let after: string | undefined;
    do {
      const page = await this.list(filter, { limit: EXPORT_PAGE, ...(after === undefined ? {} : { after }) });
      for (const letter of page.items) yield toLine(letter);
      after = page.next;
    } while (after !== undefined);
  }

  async #preview(filter: DeadLetterCriteria): Promise<RedrivePreview> {
    const waiting: DeadLetterCriteria = { ...filter, state: 'waiting' };
    const [count, { items }] = await Promise.all([this.count(waiting), this.list(waiting)]);
    return { count, items };
  }

  async #letter(id: string): Promise<StoredDeadLetter> {
    const letter = await this.tools.desk.get(checkId(id, 'the dead letter'));
    if (letter !== undefined) return letter;
    throw letterNotFound(id);
  }

  async #waiting(id: string): Promise<StoredDeadLetter> {
    const letter = await this.#letter(id);
    if (letter.state === 'waiting') return letter;
    throw wrongState(letter);
  }

  #decode(original: RawEvent): Delivery['content'] {
    return this.tools.transports.get(original.place.transport).decode(original);
  }
}

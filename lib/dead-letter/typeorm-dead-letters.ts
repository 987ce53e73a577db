import type { DeadLetter } from '../core/dead-letter.js';
import { StoreDatabase, type TypeormStoreOptions } from '../typeorm/store-database.js';
import type {
  ClaimedDeadLetter,
  ClaimRequest,
  DeadLetterAction,
  DeadLetterCriteria,
  DeadLetterPage,
  DeadLetterPageRequest,
  DeadLetterStore,
  DeadLetterStoreDefinition,
  Operator,
  Redrive,
  RedriveRequest,
  RedriveResultPage,
  SettledClaim,
  StoredDeadLetter,
} from './dead-letter-store.js';
import { claimLetters, extendClaims, releaseClaims } from './typeorm-claims.js';
import { addLetters, followLetter, parkLetter } from './typeorm-keep-letters.js';
import { LetterDatabase } from './typeorm-letter-database.js';
import { countLetters, getLetter, historyOf, listLetters } from './typeorm-letter-lists.js';
import { discardLetters, replaceLetter } from './typeorm-operations.js';
import { abortRedrive, redriveOf, redrivesPage, requestLetters, resultsPage } from './typeorm-redrives.js';
import { settleClaim } from './typeorm-settle-claim.js';

/**
 * Keeps dead letters in the table `dead_letters` of the application's own PostgreSQL, where several operators and
 * processes can work on them at the same time. Times, those of leases included, are the database's.
 */
export function typeormDeadLetters(options: TypeormStoreOptions = {}): DeadLetterStoreDefinition {
  return { create: (environment) => new TypeormDeadLetters(new StoreDatabase(options, environment, 'dead-letters')) };
}

class TypeormDeadLetters implements DeadLetterStore {
  readonly #database: StoreDatabase;
  readonly #letters: LetterDatabase;

  constructor(database: StoreDatabase) {
    this.#database = database;
    this.#letters = new LetterDatabase(database);
  }

  async prepare(): Promise<void> {
    await this.#database.open();
  }

  close(): void {
    this.#database.close();
  }

  add(letters: readonly DeadLetter[]): Promise<void> {
    return addLetters(this.#letters, letters);
  }

  park(letter: DeadLetter): Promise<void> {
    return parkLetter(this.#letters, letter);
  }

  follow(letter: DeadLetter): Promise<boolean> {
    return followLetter(this.#letters, letter);
  }

  list(filter: DeadLetterCriteria, page: DeadLetterPageRequest): Promise<DeadLetterPage> {
    return this.#letters.read((session) => listLetters(session, filter, page));
  }

  count(filter: DeadLetterCriteria): Promise<number> {
    return this.#letters.read((session) => countLetters(session, filter));
  }

  get(id: string): Promise<StoredDeadLetter | undefined> {
    return this.#letters.read((session) => getLetter(session, id));
  }

  history(id: string): Promise<readonly DeadLetterAction[]> {
    return this.#letters.read((session) => historyOf(session, id));
  }

  request(filter: DeadLetterCriteria, request: RedriveRequest): Promise<Redrive> {
    return this.#letters.transaction((session) => requestLetters(session, filter, request));
  }

  replace(id: string, edited: DeadLetter, request: RedriveRequest): Promise<Redrive> {
    return this.#letters.transaction((session) => replaceLetter(session, id, { edited, request }));
  }

  redrive(id: string): Promise<Redrive | undefined> {
    return this.#letters.read((session) => redriveOf(session, 'id', id));
  }

  redrives(page: DeadLetterPageRequest): Promise<{ readonly items: readonly Redrive[]; readonly next?: string }> {
    return this.#letters.read((session) => redrivesPage(session, page));
  }

  results(redriveId: string, page: DeadLetterPageRequest): Promise<RedriveResultPage> {
    return this.#letters.read((session) => resultsPage(session, redriveId, page));
  }

  abort(redriveId: string, operator: Operator): Promise<Redrive> {
    return this.#letters.transaction((session) => abortRedrive(session, redriveId, operator));
  }

  discard(filter: DeadLetterCriteria, operator: Operator): Promise<number> {
    return this.#letters.transaction((session) => discardLetters(session, filter, operator));
  }

  claim(request: ClaimRequest): Promise<readonly ClaimedDeadLetter[]> {
    return claimLetters(this.#letters, request);
  }

  extend(letters: readonly string[], claim: Pick<ClaimRequest, 'by' | 'leaseMs'>): Promise<readonly string[]> {
    return extendClaims(this.#letters, letters, claim);
  }

  settle(claim: SettledClaim, by: string): Promise<void> {
    return this.#letters.transaction((session) => settleClaim(session, claim, by));
  }

  release(letters: readonly string[], by: string): Promise<void> {
    return releaseClaims(this.#letters, letters, by);
  }
}

import type { Report } from '../core/activity.js';
import type { Clock } from '../core/clock.js';
import { deadLetterId } from '../core/dead-letter.js';
import { envelopeOf, type Delivery } from '../core/delivery.js';
import { doubled } from '../core/doubling.js';
import { EventsError, messageOf } from '../core/errors.js';
import type { Slot } from '../core/lanes.js';
import { printable, type EventsLogger } from '../core/logger.js';
import { outcome, type Outcome } from '../core/outcome.js';
import { consumerName, type Subscription } from '../core/subscription.js';
import type { AttemptLog, LoggedAttempt } from '../retry/attempt-log.js';
import { Suspects } from './suspects.js';
import { Turns } from './turns.js';

export interface CautionTools {
  readonly log: AttemptLog;
  readonly clock: Clock;
  readonly logger: EventsLogger;
  readonly report: Report;
  /** How many deliveries of a partition or queue may have been in flight. */
  readonly window: number;
  /** How often an event of this handler may end the process. */
  readonly crashesOf: (subscription: Subscription) => number;
}

/** A handler that never ends holds up the others for so long; a loop that never ends is nobody's turn to take. */
const LONGEST_TURN_MS = 10_000;
/** Nothing that may have been in flight came for so long, longer than a broker or a lease keeps it for the dead: it is through. */
const QUIET_MS = 60_000;
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 5_000;

/**
 * After an unclean stop: what may have been in flight runs one at a time in the whole process, and each attempt is written
 * down before. An event that so often began and ended with its process is a dead letter, unrun. Otherwise it does nothing.
 */
export class Caution {
  readonly #turns: Turns;
  /** Dead letters that are not durable yet. */
  readonly #unrun = new WeakMap<Delivery, LoggedAttempt>();
  #suspects: Suspects | undefined;
  #cancelQuiet = (): void => undefined;
  /** Handed over and not at its end. */
  #underWay = 0;
  #through = 0;

  constructor(private readonly tools: CautionTools) {
    this.#turns = new Turns(tools.clock, LONGEST_TURN_MS);
  }

  async prepare(): Promise<void> {
    await this.tools.log.prepare();
  }

  /** Looks for processes that ended uncleanly. Call it before anything is consumed. */
  async open(service: string): Promise<void> {
    const { log, clock, logger, report, window } = this.tools;
    const processes = await log.open(service);
    if (processes === 0) return;
    this.#suspects = new Suspects({ since: clock.now(), window, processes });
    report({ type: 'unclean-stop', processes });
    logger.warn(
      `${processes} earlier process(es) of ${service} ended without saying so (killed, out of memory, process.exit, or no ` +
        'shutdown hooks): the events that may have been in flight run one at a time, until they are through.',
    );
  }

  /** Everything that was in flight is on its way by now. */
  started(): void {
    if (this.#suspects !== undefined) this.#waitForQuiet();
  }

  /** Says that this process ends as it should. Never rejects: a process that could not say so is looked after. */
  async close(): Promise<void> {
    this.#cancelQuiet();
    this.#suspects = undefined;
    await this.tools.log.close().catch((error: unknown) => this.#couldNot('that this process ends', error));
  }

  release(): void {
    this.tools.log.release();
  }

  isSuspect(delivery: Delivery): boolean {
    return this.#suspects?.has(delivery) ?? false;
  }

  /** Runs an attempt, with care where it needs it. `undefined`: the lanes closed, or the delivery was lost, before its turn. */
  async attempt(delivery: Delivery, slot: Slot, run: () => Promise<Outcome>): Promise<Outcome | undefined> {
    if (!this.isSuspect(delivery)) return run();
    this.#cancelQuiet();
    this.#underWay++;
    try {
      const endTurn = await this.#turns.take([delivery.lost, slot.closing]);
      return endTurn === undefined ? undefined : await this.#logged(delivery, run).finally(endTurn);
    } finally {
      this.#underWay--;
      if (this.#underWay === 0) this.#waitForQuiet();
    }
  }

  /** Its dead letter is durable. */
  async buried(delivery: Delivery): Promise<void> {
    const attempt = this.#unrun.get(delivery);
    if (attempt !== undefined) await this.#note('forget', attempt);
  }

  async #logged(delivery: Delivery, run: () => Promise<Outcome>): Promise<Outcome> {
    const { log, crashesOf } = this.tools;
    const attempt = toAttempt(delivery);
    let crashes: number;
    try {
      crashes = await log.begin(attempt);
    } catch (error) {
      return this.#notRun(error, delivery);
    }
    // What is known of it stays until the dead letter is durable.
    if (crashes >= crashesOf(delivery.subscription)) {
      this.#unrun.set(delivery, attempt);
      return processEnded(delivery, crashes);
    }
    if (crashes > 0) this.#warn(delivery, crashes);
    const decided = await run();
    if (decided.kind !== 'retry') this.#through++;
    await this.#note(decided.kind === 'retry' ? 'end' : 'forget', attempt);
    return decided;
  }

  /** Without a note the attempt could not be found if it ended the process: it waits, as for a dependency of its handler. */
  #notRun(error: unknown, delivery: Delivery): Outcome {
    const failures = this.#suspects?.failedToNote(delivery) ?? 0;
    return outcome.retry(error, { dependency: true, afterMs: doubled(FIRST_WAIT_MS, failures, LONGEST_WAIT_MS) });
  }

  /** If it fails, the note counts only if this process ends uncleanly, too, and the event comes again. */
  async #note(what: 'end' | 'forget', attempt: LoggedAttempt): Promise<void> {
    await this.tools.log[what](attempt).catch((error: unknown) => this.#couldNot('that an attempt has ended', error));
  }

  #couldNot(what: string, error: unknown): void {
    this.tools.logger.warn(`${what} could not be written down: ${printable(messageOf(error))}`);
  }

  #warn(delivery: Delivery, crashes: number): void {
    const envelope = envelopeOf(delivery);
    this.tools.logger.warn(
      `${consumerName(delivery.subscription)}: ${envelope?.name} ${printable(envelope?.id ?? '')} was running when the ` +
        `process ended, ${crashes} time(s) so far; it is tried again`,
    );
  }

  #waitForQuiet(): void {
    this.#cancelQuiet();
    const suspects = this.#suspects;
    if (suspects === undefined || suspects.over) return;
    this.#cancelQuiet = this.tools.clock.after(QUIET_MS, () => {
      suspects.end();
      this.tools.logger.log(`what may have been in flight at the unclean stop is through: ${this.#through} event(s)`);
      void this.tools.log.lookedAfter().catch((error: unknown) => this.#couldNot('that it is through', error));
    });
  }
}

function toAttempt({ subscription, content, raw }: Delivery): LoggedAttempt {
  const { group, handler } = subscription;
  const envelope = 'envelope' in content ? content.envelope : undefined;
  return { consumer: consumerName(subscription), delivery: deadLetterId({ group, handler, envelope, original: raw }) };
}

function processEnded(delivery: Delivery, crashes: number): Outcome {
  const error = new EventsError('EVENTS_PROCESS_ENDED', `the process ended while it was handled, ${crashes} times`, {
    event: envelopeOf(delivery)?.name,
    handler: delivery.subscription.handler,
    remedy:
      'Look at how the process ended (exit code, out of memory, a blocked event loop), mend the handler, then redrive ' +
      'the dead letter. retry.crashes says how often it is tried.',
  });
  return outcome.deadLetter(error, { attempts: crashes });
}

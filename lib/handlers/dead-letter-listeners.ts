import type { Report } from '../core/activity.js';
import type { DeadLetter } from '../core/dead-letter.js';
import { doubled } from '../core/doubling.js';
import type { Envelope } from '../core/envelope.js';
import { codeOf, messageOf } from '../core/errors.js';
import type { HandlerArguments } from '../core/events-context.js';
import { printable, type EventsLogger } from '../core/logger.js';
import { isOutcome } from '../core/outcome.js';
import { concerns, type DeadLetterHandler } from './dead-letter-handlers.js';
import { filtered, HandlerCalls } from './handler-calls.js';
import type { HandlerContextFactory } from './handler-context.js';

/**
 * Tells of a new dead letter. `wait` holds its key for so many milliseconds and resolves `false` when there is no more
 * time; then it resolves `false` too, and what has not been told will be again.
 */
export type TellDeadLetter = (
  letter: DeadLetter,
  envelope: Envelope | undefined,
  wait: (delayMs: number) => Promise<boolean>,
) => Promise<boolean>;

export interface ListenersTools {
  /** Makes the factory, once, when the application has bootstrapped. */
  readonly contexts: () => HandlerContextFactory;
  readonly handlers: readonly DeadLetterHandler[];
  readonly logger: EventsLogger;
  readonly report: Report;
}

interface Telling {
  readonly letter: DeadLetter;
  readonly envelope: Envelope | undefined;
  readonly wait: (delayMs: number) => Promise<boolean>;
}

const TRIES = 4;
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 5_000;

/** Calls the `@OnDeadLetter` methods, through Nest as it calls handlers. */
export class DeadLetterListeners {
  readonly #calls: HandlerCalls<DeadLetterHandler>;

  constructor(private readonly tools: ListenersTools) {
    this.#calls = new HandlerCalls(tools.contexts);
  }

  /** Call it when the application has bootstrapped. */
  prepare(groups: ReadonlySet<string>): void {
    const { handlers, logger } = this.tools;
    this.#calls.prepare(handlers);
    for (const { id, group } of handlers) {
      if (!groups.has(group)) logger.warn(`${id} waits for dead letters of "${group}", which has no handlers here`);
    }
  }

  readonly tell: TellDeadLetter = async (letter, envelope, wait) => {
    for (const handler of this.tools.handlers) {
      if (concerns(handler, letter) && !(await this.#tellOne(handler, { letter, envelope, wait }))) return false;
    }
    return true;
  };

  /** One that fails for good is reported, and makes no further dead letter. */
  async #tellOne(handler: DeadLetterHandler, telling: Telling): Promise<boolean> {
    for (let tries = 1; ; tries++) {
      try {
        await this.#call(handler, telling);
        return true;
      } catch (error) {
        if (tries === TRIES) {
          this.#reportFailure(handler, telling.letter, error);
          return true;
        }
        if (!(await telling.wait(doubled(FIRST_WAIT_MS, tries - 1, LONGEST_WAIT_MS)))) return false;
      }
    }
  }

  async #call(handler: DeadLetterHandler, { letter, envelope }: Telling): Promise<void> {
    const args = argumentsOf(handler, letter, envelope);
    const call = await this.#calls.of(handler, args[2]);
    try {
      await call.run(...args);
    } catch (error) {
      const decided = await filtered({ call, args, error, handler: handler.id }, this.tools.logger);
      if (!isOutcome(decided) || decided.kind === 'retry' || decided.kind === 'deadLetter') throw error;
    }
  }

  #reportFailure({ id, group }: DeadLetterHandler, letter: DeadLetter, error: unknown): void {
    const { event, eventId } = letter;
    this.tools.report({
      type: 'dead-letter-handler-failed',
      ...{ handler: id, group, letter: letter.id, error, transport: letter.original.place.transport },
      ...(event === undefined ? {} : { event }),
      ...(eventId === undefined ? {} : { id: eventId }),
    });
    this.tools.logger.error(
      `${id} was not told of the dead letter ${printable(letter.id)} of ${group}.${letter.handler} in ${TRIES} tries: ` +
        `${codeOf(error)} ${printable(messageOf(error))}`,
    );
  }
}

/**
 * What guards, interceptors, pipes and the method see: the letter in the place of the data, and an attempt of nothing but
 * names. It is not idempotent: a dead letter is no delivery that could be remembered.
 */
function argumentsOf(
  { id, group, patterns }: DeadLetterHandler,
  letter: DeadLetter,
  envelope?: Envelope,
): HandlerArguments {
  const subscription = { handler: id, group, patterns, aliases: [], idempotent: false };
  const { signal } = new AbortController();
  const attempt = { attempt: 1, subscription, envelope, letter, signal, notes: new Set<string>() };
  return [letter, envelope, attempt] as unknown as HandlerArguments;
}

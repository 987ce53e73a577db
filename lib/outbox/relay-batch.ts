import type { Clock } from '../core/clock.js';
import type { Envelope } from '../core/envelope.js';
import type { Relayed, TakenEntry } from './outbox-store.js';

export interface RelayBatchTools {
  readonly clock: Clock;
  /** Resolves once the broker has confirmed the event. */
  readonly publish: (envelope: Envelope) => Promise<void>;
  /** Whether to begin nothing more: the relay stops, or the transport is away. */
  readonly enough: () => boolean;
  /** What is not confirmed when this aborts is given up: it stays in the outbox, in doubt. */
  readonly abandon: AbortSignal;
  /** Nothing is begun later than this after the start. */
  readonly beginWithinMs: number;
  /** What is not confirmed by then is given up. */
  readonly giveUpAfterMs: number;
  readonly confirmed: () => void;
  /** Decides about an entry that was not published. */
  readonly failed: (attempt: FailedAttempt) => Relayed;
  /** Entries of a transport that neither confirmed nor refused them in time. */
  readonly hung: (count: number) => void;
}

export interface FailedAttempt {
  readonly entry: TakenEntry;
  /** `undefined` when what is stored is no envelope. */
  readonly envelope: Envelope | undefined;
  readonly error: unknown;
  readonly startedAt: number;
}

const PUBLISHED: Relayed = { type: 'published' };
const LEFT: Relayed = { type: 'left' };

/**
 * Publishes entries that were taken: lines side by side, the entries of a line one after another. Those behind one that
 * was not published are left, or the order of their line were lost. Resolves with what became of each; never rejects.
 */
export async function publishBatch(entries: readonly TakenEntry[], tools: RelayBatchTools): Promise<Relayed[]> {
  const results = entries.map(() => LEFT);
  const startedAt = tools.clock.now();
  let inFlight = 0;
  let over = false;

  const mayBegin = (): boolean => !over && !tools.enough() && tools.clock.now() - startedAt < tools.beginWithinMs;

  /** Whether the next of its line may follow. */
  const publish = async (position: number): Promise<boolean> => {
    const entry = entries[position] as TakenEntry;
    const attempt = { entry, startedAt: tools.clock.now() };
    let envelope: Envelope | undefined;
    inFlight++;
    try {
      envelope = entry.read();
      await tools.publish(envelope);
      tools.confirmed();
      if (!over) results[position] = PUBLISHED;
      return true;
    } catch (error) {
      if (!over) results[position] = tools.failed({ ...attempt, envelope, error });
      return false;
    } finally {
      inFlight--;
    }
  };
  const run = async (line: readonly number[]): Promise<void> => {
    for (const position of line) if (!mayBegin() || !(await publish(position))) return;
  };

  const finished = await beforeGivingUp(Promise.all(lines(entries).map(run)), tools);
  over = true;
  if (finished === 'too late' && inFlight > 0) tools.hung(inFlight);
  return results;
}

/** Positions, by line, in order; an entry without a line stands alone. */
function lines(entries: readonly TakenEntry[]): number[][] {
  const byLine = new Map<string, number[]>();
  const all: number[][] = [];
  for (const [position, { line }] of entries.entries()) {
    const known = line === undefined ? undefined : byLine.get(line);
    if (known !== undefined) known.push(position);
    else {
      const begun = [position];
      all.push(begun);
      if (line !== undefined) byLine.set(line, begun);
    }
  }
  return all;
}

async function beforeGivingUp(
  work: Promise<unknown>,
  { clock, abandon, giveUpAfterMs }: RelayBatchTools,
): Promise<'done' | 'too late' | 'abandoned'> {
  let stop = (): void => undefined;
  const given = new Promise<'too late' | 'abandoned'>((resolve) => {
    const cancel = clock.after(giveUpAfterMs, () => resolve('too late'));
    const abandoned = (): void => resolve('abandoned');
    abandon.addEventListener('abort', abandoned, { once: true });
    if (abandon.aborted) abandoned();
    stop = () => {
      cancel();
      abandon.removeEventListener('abort', abandoned);
    };
  });
  try {
    return await Promise.race([work.then(() => 'done' as const), given]);
  } finally {
    stop();
  }
}

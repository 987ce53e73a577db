import type { DeadLetter } from '../../../lib/core/dead-letter.js';
import type { Envelope } from '../../../lib/core/envelope.js';
import type { HeaderValue, Headers } from '../../../lib/core/headers.js';
import { eventually } from '../../support/eventually.js';
import type { RawInput, RawSender } from '../../support/raw-senders.js';
import type { TestConsumer } from '../../support/test-consumer.js';
import type { TestTransport } from '../../support/transport-world.js';
import { GOOD_DATA, type BadInput, type Expected, type TransportKind } from './bad-input.js';

/** What came of each input, and of its neighbours. */
export interface BadInputsResult {
  readonly outcomes: Readonly<Record<string, Expected['becomes'] | readonly string[]>>;
  readonly envelopes: ReadonlyMap<string, Envelope>;
  readonly letters: ReadonlyMap<string, DeadLetter>;
  /** The neighbours with the key of an input, and those of one other key, in the order they were handled. */
  readonly neighbours: ReadonlyMap<string, readonly string[]>;
  readonly others: readonly number[];
}

export interface BadInputsRun {
  readonly inputs: readonly BadInput[];
  readonly kind: TransportKind;
  readonly name: string;
  readonly send: RawSender;
  readonly consumer: TestConsumer;
  readonly transport: TestTransport;
  readonly group: string;
}

const ROW = 'row';
const OTHER_KEY = 'another key';

export function expectedOn(kind: TransportKind, { expected, differs }: BadInput): Expected {
  return differs?.[kind] ?? expected;
}

/** What the handler of such a run does. */
export function refuse(inputs: readonly BadInput[], envelopes: readonly Envelope[]): void {
  for (const { headers, data } of envelopes) {
    const row = rowOf(headers);
    if (row === undefined || inputs.find(({ name }) => name === row)?.refused !== true) continue;
    throw new Error(`no use for ${typeof data === 'string' ? data : typeof data}`);
  }
}

/** Sends each input between two good events of its key, and a good one of another key after it; waits until all have ended. */
export async function runBadInputs(run: BadInputsRun): Promise<BadInputsResult> {
  const { inputs, kind, consumer, group } = run;
  const sent = inputs.filter((input) => expectedOn(kind, input).becomes !== 'not sent');
  await run.send(
    sent.flatMap((input, n) => {
      const good = (step: string, key: string): RawInput =>
        rawInput(run.name, { key, headers: { step }, attributes: { id: `${n}-${step}`, partitionkey: key } });
      return [
        good('before', keyOf(input)),
        toRaw(input, run.name),
        good('after', keyOf(input)),
        good(`${n}`, OTHER_KEY),
      ];
    }),
  );
  const ends = 4 * sent.length;
  const ended = (): number =>
    ['handled', 'dead-lettered', 'unhandled'].reduce((sum, type) => sum + consumer.count(type as 'handled'), 0);
  await eventually(() => ended() >= ends || Promise.reject(new Error(`${ended()} of ${ends}`)), {
    what: 'every input',
  });
  return collect(run, sent, await run.transport.deadLetters({ group }));
}

function collect(
  { consumer, kind, inputs }: BadInputsRun,
  sent: readonly BadInput[],
  found: readonly DeadLetter[],
): BadInputsResult {
  const envelopes = new Map<string, Envelope>();
  const letters = new Map<string, DeadLetter>();
  const ends = new Map<string, Expected['becomes'][]>(inputs.map(({ name }) => [name, []]));
  const neighbours = new Map<string, string[]>(sent.map((input) => [keyOf(input), []]));
  const others: number[] = [];
  for (const envelope of handledBy(consumer)) {
    const { key, headers } = envelope;
    const row = rowOf(headers);
    if (row !== undefined) {
      envelopes.set(row, envelope);
      ends.get(row)?.push('handled');
    } else if (key === OTHER_KEY) others.push(Number(headers['step']));
    else neighbours.get(key ?? '')?.push(String(headers['step']));
  }
  for (const letter of found) {
    const row = rowOf(letter.original.headers) ?? '';
    letters.set(row, letter);
    ends.get(row)?.push('dead letter');
  }
  const outcomes = inputs.map((input): [string, Expected['becomes'] | string[]] => {
    const all = ends.get(input.name) ?? [];
    if (all.length > 1) return [input.name, all];
    return [input.name, all[0] ?? (sent.includes(input) ? 'unhandled' : expectedOn(kind, input).becomes)];
  });
  return { outcomes: Object.fromEntries(outcomes), envelopes, letters, neighbours, others };
}

/** One by one or in batches. */
function handledBy({ done, batches }: TestConsumer): Envelope[] {
  const handledBatches = batches.filter(({ state }) => state === 'done');
  return [...done.map(({ envelope }) => envelope), ...handledBatches.flatMap(({ envelopes }) => envelopes)];
}

/** The input as it is sent. */
export function toRaw(input: BadInput, name: string): RawInput {
  const { body = JSON.stringify(GOOD_DATA), contentType, brokerKey } = input;
  const key = keyOf(input);
  const raw = rawInput(name, {
    key,
    headers: { ...input.headers, [ROW]: input.name },
    attributes: { id: `bad ${input.name}`, partitionkey: key, ...input.attributes },
  });
  // A spread takes `__proto__` for nothing special; an assignment would.
  return {
    ...raw,
    ...(brokerKey === undefined ? {} : { key: brokerKey }),
    contentType: contentType === undefined ? raw.contentType : (contentType ?? undefined),
    body: typeof body === 'string' ? Buffer.from(body.replaceAll('{{name}}', name)) : body,
  };
}

interface Parts {
  readonly key: string;
  readonly headers: Headers;
  readonly attributes: Readonly<Record<string, HeaderValue | null>>;
}

function rawInput(name: string, { key, headers, attributes }: Parts): RawInput {
  const all: Readonly<Record<string, HeaderValue | null>> = {
    ...{ specversion: '1.0', type: name, source: 'table', time: '2026-11-24T00:00:00Z' },
    ...attributes,
  };
  const present = Object.entries(all).flatMap(([attribute, value]) =>
    value === null ? [] : [[attribute, value] as const],
  );
  return {
    ...{ name, key, headers, attributes: Object.fromEntries(present) },
    contentType: 'application/json',
    body: Buffer.from(JSON.stringify(GOOD_DATA)),
  };
}

const keyOf = ({ name }: BadInput): string => `key of ${name}`;

function rowOf(headers: Headers): string | undefined {
  const row = headers[ROW];
  return row === undefined ? undefined : Buffer.from(row as string).toString();
}

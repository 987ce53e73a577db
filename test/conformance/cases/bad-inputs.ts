import { expect, test } from '@jest/globals';
import type { Envelope } from '../../../lib/core/envelope.js';
import type { HeaderValue, Headers } from '../../../lib/core/headers.js';
import type { TransportEnvironment } from '../../../lib/core/transport.js';
import { eventually } from '../../support/eventually.js';
import type { TestHandler } from '../../support/test-consumer.js';
import { uniqueWord } from '../../support/unique.js';
import { SECRET, type BadInput, type TransportKind } from '../bad-inputs/bad-input.js';
import { BAD_INPUTS } from '../bad-inputs/index.js';
import { expectedOn, refuse, runBadInputs, toRaw, type BadInputsResult } from '../bad-inputs/run.js';
import type { ConformanceSuite } from '../conformance-suite.js';

/** Would start a line of its own, colour the terminal, or turn the direction of what follows. */
const FORGING = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]/;

const CLAIM = 'each is handled or a dead letter as the table says, its neighbours are handled in order';
const WAYS: [way: string, claim: string, Pick<TransportEnvironment, 'deadLetterBody'> & Pick<TestHandler, 'batch'>][] =
  [
    ['one by one', CLAIM, {}],
    ['in batches, and with dead letters in JSON', CLAIM, { batch: { size: 10, waitMs: 10 }, deadLetterBody: 'json' }],
  ];

export function badInputs({ open, harness }: ConformanceSuite): void {
  test.each(WAYS)(`${BAD_INPUTS.length} bad inputs, %s: %s`, async (_way, _claim, { batch, ...overrides }) => {
    const [domain, group] = [uniqueWord('bad'), uniqueWord('group')];
    const name = `${domain}.thing.said`;
    const before = prototypes();
    const transport = await open(overrides);
    const kind = transport.transport.kind as TransportKind;
    const consumer = await transport.consume({
      ...{ group, patterns: [name], ...(batch === undefined ? {} : { batch }) },
      handle: ({ envelope }) => refuse(BAD_INPUTS, [envelope]),
      handleBatch: ({ envelopes }) => refuse(BAD_INPUTS, envelopes),
    });

    const run = { inputs: BAD_INPUTS, kind, name, send: harness.sendRaw, consumer, transport, group };
    const result = await runBadInputs(run);

    const expected = BAD_INPUTS.map((input) => [input.name, expectedOn(kind, input).becomes]);
    expect(result.outcomes).toEqual(Object.fromEntries(expected));
    for (const input of BAD_INPUTS) expectContent(input, { kind, name }, result);
    for (const steps of result.neighbours.values()) expect(steps).toEqual(['before', 'after']);
    expect(result.others).toEqual(result.others.toSorted((a, b) => a - b));
    expect(result.others).toHaveLength(result.neighbours.size);

    const lines = [...transport.logger.lines, ...consumer.logger.lines].map(({ message }) => message);
    expect(lines.filter((line) => FORGING.test(line) || line.includes(SECRET))).toEqual([]);
    expect(prototypes()).toEqual(before);

    // All of it is settled: who comes next gets what is published then.
    await consumer.close();
    const next = await (await open()).consume({ group, patterns: [name] });
    await transport.publish(name, 'the next');
    await eventually(() => next.data.includes('the next'), { what: 'the next event' });
    expect(next.data).toEqual(['the next']);

    // What a redrive would find.
    for (const { error, original } of result.letters.values()) {
      const decodable = 'envelope' in transport.transport.decode(original);
      expect(decodable).toBe(error.code !== 'EVENTS_UNDECODABLE');
    }
  });
}

interface Where {
  readonly kind: TransportKind;
  readonly name: string;
}

function expectContent(input: BadInput, { kind, name }: Where, { envelopes, letters }: BadInputsResult): void {
  const expected = expectedOn(kind, input);
  if (expected.becomes === 'handled') {
    const { data, headers, ...envelope } = envelopes.get(input.name) as Envelope;
    if (typeof expected.data === 'function')
      expect([input.name, (expected.data as (data: unknown) => unknown)(data)]).toEqual([input.name, true]);
    else expect([input.name, data]).toEqual([input.name, expected.data]);
    expect(envelope).toMatchObject(expected.envelope ?? {});
    expect(comparable(headers)).toMatchObject(comparable(expected.headers ?? {}));
  }
  if (expected.becomes === 'dead letter') {
    const letter = letters.get(input.name);
    expect([input.name, letter?.error.code]).toEqual([input.name, expected.code]);
    expect(letter?.handler).toBe('handler');
    if (expected.says !== undefined) expect(letter?.error.message).toMatch(expected.says);
    const { body } = toRaw(input, name);
    expect(Buffer.from(letter?.original.body ?? []).equals(body ?? Buffer.alloc(0))).toBe(true);
  }
}

/** What pollution would change. */
function prototypes(): unknown[] {
  const shared = [Object.prototype, Array.prototype, Function.prototype, String.prototype];
  return shared.map((prototype) => Reflect.ownKeys(prototype).map(String).sort());
}

/** Bytes are bytes, whichever class carries them. */
function comparable(headers: Headers): Record<string, unknown> {
  const one = (value: string | Uint8Array): unknown => (typeof value === 'string' ? value : [...value]);
  const entries = Object.entries(headers).map(([name, value]: [string, HeaderValue]) => [
    `header ${name}`,
    typeof value === 'string' || value instanceof Uint8Array ? one(value) : value.map(one),
  ]);
  return Object.fromEntries(entries) as Record<string, unknown>;
}
